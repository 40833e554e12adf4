# What must hold outside the machine.

# The same questions to the saved file, and the same answers, byte for byte.
check_same_answers() {
    . "$share/first/registers"
    old_root=$rtaddr old_irta=$irta
    mkdir "$share/outside"
    walk "$share/vmcore" "$share/outside"
    copy "$share/vmcore" "$share/outside"
    cp "$share/capture/registers" "$share/outside"
    diff -r "$share/capture" "$share/outside" || fail "the saved vmcore gives other answers than /proc/vmcore gave"
    (($(count devices) > 3 && $(count ranges) > 20 && $(count interrupts) > 3)) || fail "hardly anything was mapped"
}

# What iopt --live said. The first kernel, alive, has the tables that it has dead: nothing used a device in between.
# The capture kernel's own tables have some devices of the dead kernel as they were, and others, whose drivers it
# started, anew.
check_live() {
    local list device adopted=0 anew=0
    for list in devices ranges interrupts; do
        cmp "$share/first-live/$list.json" "$share/outside/$list.json" || fail "alive, the $list were not the same"
    done
    [[ -e $share/capture-live ]] || return 0
    while read -r list; do
        device=$(grep -o '"source_id":"[^"]*"' <<<"$list")
        if grep -Fqx "$list" "$share/capture-live/devices.json"; then
            ((adopted += 1))
            diff <(grep -F "$device" "$share/outside/ranges.json") \
                <(grep -F "$device" "$share/capture-live/ranges.json") ||
                fail "$device was adopted, but reaches something else now"
        else
            ((anew += 1))
        fi
    done <"$share/outside/devices.json"
    ((adopted && anew)) || fail "of $(count devices) devices, the capture kernel took over $adopted"
    say "  $adopted devices were adopted, $anew had new tables"
}

count() {
    wc -l <"$share/outside/$1.json"
}

# A witness that knows nothing of page tables: the card's register says where its receive ring is, and each
# descriptor that the card hasn't used yet says where it may write a packet. All of that must be translated, and be
# in the listed ranges, at the same place.
check_ring() {
    local ring iova physical size at
    local -A listed
    . "$share/first/rings"
    while read -r iova physical size; do
        for ((at = 0; at < size; at += 4096)); do
            listed[$((iova + at))]=$((physical + at))
        done
    done < <(sed -n '/"00:03.0"/s/.*"iova":"\([^"]*\)".*"phys":"\([^"]*\)","size":\([0-9]*\).*/\1 \2 \3/p' \
        "$share/outside/ranges.json")

    ring=$(translate "00:03.0 $receive_ring w")
    memory "${ring#* }" "$((receive_bytes))" | od -An -v -t x8 -w16 |
        awk '$1 !~ /^0+$/ && $2 ~ /^0+$/ { print "00:03.0 0x" $1 " w" }' >"$share/buffers"
    buffers=$(wc -l <"$share/buffers")
    ((buffers > 100)) || fail "expected a ring full of buffers at $receive_ring, found $buffers"
    translate "$(cat "$share/buffers")" >"$share/buffers.translated"
    (($(wc -l <"$share/buffers.translated") == buffers)) || fail "some buffers in the ring were not translated"
    while read -r iova physical; do
        ((${listed[$((iova & ~4095))]:-0} + (iova & 4095) == physical)) ||
            fail "the buffer at $iova is translated to $physical, but listed elsewhere or not at all"
    done < <(echo "$ring"; cat "$share/buffers.translated")
    # The disk's controller has its queues where it says, too.
    translate "00:04.0 $admin_submission r" >/dev/null
    translate "00:04.0 $admin_completion w" >/dev/null
}

# translate REQUESTS: each IOVA, and the physical address where it ends up.
translate() {
    iopt --json translate "$share/vmcore" --root "$old_root" --cap "$cap" --ecap "$ecap" --batch - <<<"$1" |
        sed -n 's/.*"iova":"\([^"]*\)".*"phys":"\([^"]*\)".*/\1 \2/p'
}

# memory ADDRESS LENGTH: the bytes of physical memory in the vmcore, as readelf finds them.
memory() {
    dd if="$share/vmcore" bs=4096 iflag=skip_bytes,count_bytes skip="$(offset "$1")" count="$2" status=none
}

offset() {
    local type at physical size rest
    while read -r type at _ physical size rest; do
        if [[ $type == LOAD ]] && (($1 >= physical && $1 < physical + size)); then
            echo $(($1 - physical + at))
            return
        fi
    done < <(readelf -lW "$share/vmcore")
    fail "$1 is not in the vmcore"
}

# The entry in the network card's top page table that leads to its ring loses its lowest byte, which has the
# permissions. The card's ranges must go and all others stay, or nothing above proves anything.
check_damage() {
    local table levels byte
    read -r table levels < <(sed -n '/"00:03.0"/s/.*"levels":\([0-9]*\).*"table":"\(0x[0-9a-f]*\)".*/\2 \1/p' \
        "$share/outside/devices.json")
    byte=$(offset $((table + 8 * ((receive_ring >> (12 + 9 * (levels - 1))) & 511))))
    dd if="$share/vmcore" of="$share/byte" bs=1 skip="$byte" count=1 status=none
    dd if=/dev/zero of="$share/vmcore" bs=1 seek="$byte" count=1 conv=notrunc status=none
    mkdir "$share/damaged"
    walk "$share/vmcore" "$share/damaged"
    ! cmp -s "$share/outside/ranges.json" "$share/damaged/ranges.json" || fail "damage doesn't show"
    grep -v '"00:03.0"' "$share/outside/ranges.json" | cmp - "$share/damaged/ranges.json"
    dd if="$share/byte" of="$share/vmcore" bs=1 seek="$byte" conv=notrunc status=none
}
