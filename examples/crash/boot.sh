# One machine: it boots, crashes, and boots again into its capture kernel.

# crash IOMMU: the capture kernel gets intel_iommu=IOMMU. What it says goes to $share.
crash() {
    local line last="" status=0
    share=$work/$1/share
    console=$work/$1/console
    mkdir -p "$share"
    cp "$kernel_files/boot/vmlinuz-"* "$share/vmlinuz"
    cp "$cache/initramfs.gz" "$share/initramfs"
    cp guest/{first,capture,live}.sh walk.sh "$share"
    # Without intel_iommu, and without intremap, the unit keeps the root table and the interrupt table of the dead
    # kernel; with them, the capture kernel gives it copies of its own.
    echo "console=ttyS0 panic=-1 iomem=relaxed reset_devices intel_iommu=$1 intremap=$1" >"$share/options"
    head -c 8M /dev/urandom >"$share/pattern"
    truncate -s 16M "$work/$1/nvme"

    # Wherever a randomised kernel sits in 512 MiB, 160 MiB in one piece are left.
    exec {steps}< <(exec timeout -k 5 "$limit" qemu-system-x86_64 \
        -machine q35,accel=tcg,kernel-irqchip=split -cpu max -smp 1 -m 512M \
        -nodefaults -no-user-config -display none -no-reboot \
        -device intel-iommu,intremap=on \
        -device e1000e,netdev=net,addr=3,romfile= -netdev user,id=net,restrict=on \
        -device nvme,drive=disk,serial=nvme,addr=4 -drive file="$work/$1/nvme",if=none,id=disk,format=raw \
        -device virtio-9p-pci,fsdev=host,mount_tag=host,addr=5,disable-legacy=on,iommu_platform=on \
        -fsdev local,id=host,path="$share",security_model=none \
        -kernel "$share/vmlinuz" -initrd "$share/initramfs" \
        -append "console=ttyS0 panic=-1 iomem=relaxed ipv6.disable=1 intel_iommu=on crashkernel=160M" \
        -serial "file:$console" -chardev stdio,id=steps,signal=off -serial chardev:steps </dev/null 2>&1)
    qemu=$!
    while read -t "$patience" -r line <&"$steps" || { status=$?; false; }; do
        say "  ${line%$'\r'}"
        last=${line%$'\r'}
    done
    # Beyond 128 the time was up; otherwise the machine is off.
    ((status <= 128)) || fail "no news from the machine for $patience seconds"
    status=0
    wait "$qemu" || status=$?
    ((status != 124)) || fail "the machine was still on after $limit seconds"
    ((status == 0)) || fail "QEMU ended with status $status"
    qemu=
    exec {steps}<&-
    [[ $last == "capture kernel: done" ]] || fail "the machine went off too early"
    cmp -n $((8 << 20)) "$share/pattern" "$work/$1/nvme" || fail "the NVMe disk has other data than were written"
}
