#!/bin/sh
# Installs what RocksDB's build needs, a C++ compiler and libclang, where they are missing. Says what it does.
# `setup.sh valgrind` installs valgrind instead, for benches/instructions.sh.
set -eu

have_compiler() {
    command -v c++ >/dev/null 2>&1 || command -v g++ >/dev/null 2>&1 || command -v clang++ >/dev/null 2>&1
}

have_libclang() {
    for folder in "${LIBCLANG_PATH:-}" /usr/lib /usr/lib64 /usr/lib/*-linux-gnu /usr/local/lib \
        /usr/lib/llvm*/lib /usr/lib64/llvm*/lib /opt/homebrew/opt/llvm/lib /usr/local/opt/llvm/lib \
        /Library/Developer/CommandLineTools/usr/lib; do
        [ -n "$folder" ] || continue
        for file in "$folder"/libclang.so* "$folder"/libclang-*.so* "$folder"/libclang.dylib; do
            case "$file" in */libclang-cpp*) continue ;; esac # another library
            [ -e "$file" ] && return 0
        done
    done
    return 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install() {
    echo "setup: installing $2 with $1 ($3)"
    # The packages are separate words.
    # shellcheck disable=SC2086
    case "$1" in
        apt-get) as_root apt-get update -qq && as_root apt-get install -y -qq --no-install-recommends $2 ;;
        dnf) as_root dnf install -y -q $2 ;;
        pacman) as_root pacman -S --needed --noconfirm $2 ;;
        zypper) as_root zypper --non-interactive install $2 ;;
        apk) as_root apk add --quiet $2 ;;
        brew) brew install $2 ;;
    esac
}

missing() { # what, packages for: apt-get dnf pacman zypper apk brew
    what=$1
    shift
    for manager in apt-get dnf pacman zypper apk brew; do
        if command -v "$manager" >/dev/null 2>&1; then
            install "$manager" "$1" "for $what, which was not found"
            return
        fi
        shift
    done
    echo "setup: $what is missing and no known package manager was found: install it by hand" >&2
    exit 1
}

if [ "${1:-}" = valgrind ]; then
    command -v valgrind >/dev/null 2>&1 || missing valgrind valgrind valgrind valgrind valgrind valgrind valgrind
    exit
fi
have_compiler || missing "a C++ compiler" g++ gcc-c++ base-devel gcc-c++ "g++ musl-dev" gcc
have_libclang || missing "libclang" libclang-dev clang-devel clang clang-devel clang-dev llvm
echo "setup: a C++ compiler and libclang are here"
