#!/bin/sh
exec @HOLDSTILL@ hook --job=@JOB@ veeam pre-job
