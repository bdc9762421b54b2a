#!/bin/sh
exec @HOLDSTILL@ hook --job=@JOB@ duplicati
