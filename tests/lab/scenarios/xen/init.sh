#!/bin/busybox sh
# The first process of the lab's guest: it writes to its disk all the time, and tells its console what is there for
# certain. busybox has its commands built in, so nothing else is installed.

mount -t proc proc /proc
mount /dev/xvda1 /boot
read -r marker </boot/marker
read -r counter rest </var/record
echo "guest: up, with '$marker' on /boot, going on from $counter"

filler=$(seq -s ' ' 2000)

# A record is there as a whole or not at all, and for certain when the last command ends well.
write() {
    sum=$(echo "$1" | sha256sum) &&
        printf '%s\n' "$1" "$sum" >/var/record.new &&
        sync /var/record.new &&
        mv /var/record.new /var/record &&
        sync /var
}

# Hundredths of a second.
look_at_clock() {
    read -r up rest </proc/uptime
    now=${up%.*}${up#*.}
}

# A moment's rest each time: with none, it would take one of the machine's processors for itself.
look_at_clock
while last=$now && write "$((counter + 1)) $filler"; do
    counter=$((counter + 1))
    look_at_clock
    echo "guest: wrote $counter after $((now - last)) cs"
    sleep 0.1
    look_at_clock
done
echo "guest: could not write"
while :; do sleep 60; done
