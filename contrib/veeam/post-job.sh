#!/bin/sh
exec /usr/local/sbin/holdstill hook --job=nightly veeam post-job
