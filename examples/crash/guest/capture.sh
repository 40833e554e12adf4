# In the capture kernel, with /bin/sh: the tables of the dead kernel, out of /proc/vmcore. The first kernel put
# old_root and old_irta on this one's command line.
. /host/walk.sh

case $(cat /proc/cmdline) in
*intel_iommu=off*)
    step "finding the dead kernel's root table address, $old_root, in the unit itself"
    [ "$rtaddr" = "$old_root" ]
    [ "$irta" = "$old_irta" ]
    ;;
*intel_iommu=on*)
    step "finding a root table of this kernel's own, $rtaddr, in the unit"
    [ "$rtaddr" != "$old_root" ]
    step "walking this kernel's tables in /proc/kcore, and those that it adopted in /proc/vmcore"
    walk_live
    [ "$sources" = "/proc/kcore /proc/vmcore" ]
    ;;
esac

step "walking the dead kernel's tables in /proc/vmcore"
walk /proc/vmcore "$results"
# The other reader of the same file, which doesn't map it.
iopt --live --json ranges --root "$old_root" --cap "$cap" --ecap "$ecap" | cmp - "$results/ranges.json"

step "copying them, and adopting them"
copy /proc/vmcore "$results"

step "saving /proc/vmcore"
dd if=/proc/vmcore of=/host/vmcore bs=1M
