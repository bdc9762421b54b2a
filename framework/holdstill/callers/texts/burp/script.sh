#!/bin/sh
exec @HOLDSTILL@ hook --job=@JOB@ burp "$@"
