# The running machine as `iopt --live` finds it, for /bin/sh. What iopt tells of its sources must be what is known from
# elsewhere: unit, cap, ecap, gsts, rtaddr and irta.

# What is listed goes to the host, the memory that it came from to $sources.
walk_live() {
    mkdir /live
    for list in devices ranges interrupts; do
        iopt --live --json "$list" >"/live/$list.json" 2>>/live/told
    done
    cat /live/told
    sources=$(sed -n 's/^iopt: live memory from //p' /live/told | sort -u | xargs)
    grep -Fqx "$(printf 'iopt: unit 0 at %#x: RTADDR %#x, CAP %#x, ECAP %#x, GSTS %#x' \
        "$unit" "$rtaddr" "$cap" "$ecap" "$gsts")" /live/told
    grep -Fqx "$(printf 'iopt: unit at %#x: IRTA %#x' "$unit" "$irta")" /live/told
    # The disk's controller reads its commands there, so that must be mapped.
    iopt --live --json translate 00:04.0 "$(devmem $(($(bar 00:04.0) + 0x28)) 64)" r
    cp -r /live "/host/$kernel-live"
}
