# What is asked of a memory and of copies of its tables. The capture kernel and the host both run this, so that
# their answers can be compared byte for byte. For /bin/sh; old_root, old_irta, cap and ecap describe the dead unit.

# walk IMAGE FOLDER: what the tables say goes to FOLDER.
walk() {
    iopt --json info "$1" >"$2/info.json"
    iopt --json devices "$1" --root "$old_root" --cap "$cap" --ecap "$ecap" >"$2/devices.json"
    iopt --json ranges "$1" --root "$old_root" --cap "$cap" --ecap "$ecap" >"$2/ranges.json"
    iopt --json interrupts "$1" --irta "$old_irta" >"$2/interrupts.json"
}

# copy IMAGE FOLDER: copies the tables, adopts them, and reads both results back. FOLDER has the answers of `walk`.
copy() {
    iopt --json copy "$1" --root "$old_root" --cap "$cap" --ecap "$ecap" --out "$2/copied.lime" >"$2/copied.json"
    iopt --json copy "$1" --root "$old_root" --cap "$cap" --ecap "$ecap" --out "$2/adopted.lime" --adopt \
        >"$2/adopted.json"
    for new in copied adopted; do
        [ "$(tail -n 1 "$2/$new.json")" = '{"verified":true}' ]
    done
    # A copy is complete. Adopted tables are new down to the context entries, which lead to the old page tables.
    iopt --json ranges "$2/copied.lime" --root "$(new_root "$2/copied.json")" --cap "$cap" --ecap "$ecap" |
        cmp - "$2/ranges.json"
    iopt --json devices "$2/adopted.lime" --root "$(new_root "$2/adopted.json")" --cap "$cap" --ecap "$ecap" |
        cmp - "$2/devices.json"
}

new_root() {
    sed -n '1s/.*"new_root":"\(0x[0-9a-f]*\)".*/\1/p' "$1"
}
