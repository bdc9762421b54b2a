#!/bin/sh
exec @HOLDSTILL@ hook --job=@JOB@ veeam post-job
