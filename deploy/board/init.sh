#!/bin/busybox sh
# The first program on the emulated board: loads what the board's I2C and Ethernet
# need, and runs the gateway as an init system would.
/bin/busybox mkdir -p /proc /sys /dev /tmp /var/lib/shedguard
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sys /sys
/bin/busybox mount -t devtmpfs dev /dev
/bin/busybox --install -s /bin
export PATH=/bin

for word in $(cat /proc/cmdline); do
  case $word in
    board.time=*) date -s "@${word#board.time=}" >/dev/null ;;
  esac
done
while read -r module; do
  insmod "/modules/$module" || echo "board: $module was not loaded"
done </modules/order
ifconfig lo 127.0.0.1 up
ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up

echo "board: $(uname -m) $(uname -r)"
ls /dev/i2c-* 2>/dev/null
# What the relays' output register holds, told when it changes: an observer beside
# the gateway, on the same bus.
(
  was=
  while true; do
    now=$(i2cget -y 0 0x18 0x01 2>/dev/null)
    [ "$now" = "$was" ] || echo "board: relays $now"
    was=$now
    usleep 50000
  done
) &

while true; do
  /bin/shedguard --log-format json run --config /etc/shedguard/gateway.yaml
  echo "board: gateway ended with $?"
  /bin/shedguard open --config /etc/shedguard/gateway.yaml
  sleep 1
done
