# Tools, iopt, kernel and initramfs. What is fetched and built stays in $cache, outside what is tracked.

install_tools() {
    local -A packages=([qemu-system-x86_64]=qemu-system-x86 [busybox]=busybox-static [kexec]=kexec-tools
        [cpio]=cpio [depmod]=kmod [xz]=xz-utils [readelf]=binutils [cc]="gcc libc6-dev")
    local command missing=()
    for command in "${!packages[@]}"; do
        # Without word splitting there would be no two packages for cc.
        # shellcheck disable=SC2206
        command -v "$command" >/dev/null || missing+=(${packages[$command]})
    done
    ((${#missing[@]})) || return 0
    say "installing ${missing[*]}"
    if ! apt_install "${missing[@]}" >"$cache/apt.log" 2>&1; then
        if ! command -v qemu-system-x86_64 >/dev/null; then
            echo "skipped: QEMU can't be installed: $(tail -n 1 "$cache/apt.log")"
            exit 77
        fi
        fail "can't install ${missing[*]}: $(tail -n 1 "$cache/apt.log")"
    fi
}

apt_install() {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qqy --no-install-recommends "$@"
}

build_iopt() {
    # glibc can be linked statically for the host as it is. The flag would make other builds start anew, so this
    # one has a folder to itself.
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --quiet --release --locked \
        --target x86_64-unknown-linux-gnu --target-dir "$cache/build" -p iopt-examples --bin iopt
    iopt=$cache/build/x86_64-unknown-linux-gnu/release/iopt
}

# The iopt that the guest has, on the host too.
iopt() {
    "$iopt" "$@"
}

# The package that linux-image-amd64 stands for today: unpacked, not installed.
fetch_kernel() {
    kernel=$(newest_kernel)
    if [[ -z $kernel || ! -d $cache/$kernel ]]; then
        apt-get update -qq
        kernel=$(newest_kernel)
    fi
    [[ -n $kernel ]] || fail "apt knows no linux-image-amd64: is this Debian?"
    kernel_files=$cache/$kernel
    if [[ ! -d $kernel_files ]]; then
        rm -rf "$cache"/{download,linux-image-*}
        mkdir "$cache/download"
        (cd "$cache/download" && apt-get download -qq -o APT::Sandbox::User=root "$kernel")
        dpkg-deb -x "$cache"/download/*.deb "$cache/download/files"
        mv "$cache/download/files" "$kernel_files"
        rm -r "$cache/download"
    fi
}

newest_kernel() {
    apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/^ *Depends: \(linux-image-[^ ]*\)/\1/p'
}

make_initramfs() {
    local root=$cache/initramfs version=${kernel#linux-image-} applet library module
    rm -rf "$root"
    mkdir -p "$root"/{bin,dev,modules,proc,sys}
    install -m 755 guest/init "$root/init"
    cp "$(command -v busybox)" "$(command -v kexec)" "$iopt" "$root/bin"
    for applet in $(busybox --list); do
        [[ -e $root/bin/$applet ]] || ln -s busybox "$root/bin/$applet"
    done
    for library in $(ldd "$(command -v kexec)" | grep -o '/[^ ]*'); do
        install -D -m 755 "$library" "$root$library"
    done
    # Each module behind those that it needs.
    depmod -b "$kernel_files" "$version"
    for module in nvme e1000e virtio_pci 9pnet_virtio 9p; do
        modprobe -d "$kernel_files" -S "$version" --show-depends "$module"
    done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' | while read -r module; do
        cp "$module" "$root/modules"
        module=${module##*/}
        [[ $module != *.xz ]] || xz -d "$root/modules/$module"
        echo "${module%.xz}"
    done >"$root/modules/order"
    (cd "$root" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$cache/initramfs.gz"
}
