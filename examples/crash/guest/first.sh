# In the first kernel, with /bin/sh: real DMA, what the machine says of it while it lives, and the crash.

step "writing 8 MiB to the NVMe disk, and reading them back"
dd if=/host/pattern of=/dev/nvme0n1 bs=1M oflag=direct
dd if=/dev/nvme0n1 bs=1M count=8 iflag=direct | cmp - /host/pattern

step "pinging through the e1000e network card"
ip addr add 10.0.2.15/24 dev eth0
ip link set eth0 up
# The link takes some seconds to come up.
tries=0
until ping -c 1 -W 2 10.0.2.2; do
    tries=$((tries + 1))
    [ "$tries" -lt 20 ]
done

# Where the devices themselves find their rings, in addresses that the unit translates: an independent witness.
step "asking both devices where their rings are"
network=$(bar 00:03.0)
nvme=$(bar 00:04.0)
printf '%s\n' \
    "receive_ring=$(devmem $((network + 0x2800)) 32)" \
    "receive_bytes=$(devmem $((network + 0x2808)) 32)" \
    "admin_submission=$(devmem $((nvme + 0x28)) 64)" \
    "admin_completion=$(devmem $((nvme + 0x30)) 64)" >"$results/rings"

step "loading the capture kernel"
kexec -s -p /host/vmlinuz --initrd=/host/initramfs --command-line="$(cat /host/options) old_root=$rtaddr old_irta=$irta"

# From here on the devices are left alone, so the dead kernel's tables must say the same.
step "walking the running machine: registers from /dev/mem, tables from /proc/kcore"
walk_live
[ "$sources" = "/proc/kcore" ]

step "crashing"
echo c >/proc/sysrq-trigger
