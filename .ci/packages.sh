#!/bin/sh
# Makes sure that the tools and libraries of the named groups are there, and installs what is missing.
#
#   sh .ci/packages.sh [build|test|sanitize|bench|compare|clang|demo]...        no name means build
#
# It looks first: where nothing is missing it needs no rights and calls no package manager.  It looks for the
# thing (a command, a pkg-config name, a header), not for a package, so a hand-made installation counts too.
# Redis is only ever used on a port of our own.  On Debian and Ubuntu the package redis-server (group bench) may
# start its service on port 6379; nothing here needs that service.
set -u
LC_ALL=C
export LC_ALL
root=$(cd "$(dirname "$0")/.." && pwd) || exit 1

needs_of() {
    case $1 in
        build) echo cxx meson ninja pkg-config liburing libcrypto ;;
        test) echo catch2 benchmark hwloc json curl nc redis-tools python3 prometheus ;;
        sanitize) echo gcc-sanitizers ;;
        bench) echo benchmark asio redis-server redis-tools ;;
        compare) echo tbb asio openmp-clang go cargo tokio rayon libuv fio ;;
        clang) echo clang ;;
        demo) echo redis-tools find ;;
        *) return 1 ;;
    esac
}

# A package "-": that system has none.
# name         | what is needed                                    | apt-get         | dnf                       | pacman
table='
cxx            | g++ 12 or newer (or CXX=clang++, 16 or newer)     | g++             | gcc-c++                   | gcc
meson          | meson 1.0 or newer                                | meson           | meson                     | meson
ninja          | ninja                                             | ninja-build     | ninja-build               | ninja
pkg-config     | pkg-config                                        | pkg-config      | pkgconf-pkg-config        | pkgconf
liburing       | liburing 2.3 or newer (or subprojects/liburing.wrap) | liburing-dev | liburing-devel            | liburing
libcrypto      | libcrypto of OpenSSL 3.0                          | libssl-dev      | openssl-devel             | openssl
catch2         | Catch2 (or subprojects/catch2.wrap)               | catch2          | catch-devel               | catch2
benchmark      | Google Benchmark (or subprojects/google-benchmark.wrap) | libbenchmark-dev | google-benchmark-devel | benchmark
hwloc          | hwloc 2.5 or newer                                | libhwloc-dev    | hwloc-devel               | hwloc
json           | nlohmann_json                                     | nlohmann-json3-dev | json-devel             | nlohmann-json
curl           | curl                                              | curl            | curl                      | curl
nc             | netcat                                            | netcat-openbsd  | nmap-ncat                 | openbsd-netcat
redis-tools    | redis-cli and redis-benchmark                     | redis-tools     | /usr/bin/redis-benchmark  | valkey
redis-server   | redis-server                                      | redis-server    | /usr/bin/redis-server     | valkey
python3        | python 3                                          | python3         | python3                   | python
prometheus     | prometheus_client for the Python of the system    | python3-prometheus-client | python3-prometheus_client | python-prometheus_client
gcc-sanitizers | the sanitizer libraries of g++                    | g++             | libasan libubsan libtsan  | gcc
asio           | standalone Asio                                   | libasio-dev     | asio-devel                | asio
clang          | clang 16 or newer with sanitizers and llvm-symbolizer | clang-19 libclang-rt-19-dev llvm-19 | clang compiler-rt llvm | clang compiler-rt llvm
tbb            | oneTBB                                            | libtbb-dev      | tbb-devel                 | onetbb
openmp-clang   | OpenMP for clang++-19 (g++ has its own)           | libomp-19-dev   | -                         | -
go             | Go                                                | golang-go       | golang                    | go
cargo          | Cargo and rustc                                   | cargo rustc     | cargo rust                | rust
tokio          | the source of Tokio in /usr/share/cargo/registry  | librust-tokio-dev | rust-tokio-devel        | -
rayon          | the source of Rayon in /usr/share/cargo/registry  | librust-rayon-dev | rust-rayon-devel        | -
libuv          | libuv                                             | libuv1-dev      | libuv-devel               | libuv
fio            | fio                                               | fio             | fio                       | fio
find           | find and xargs                                    | findutils       | findutils                 | findutils
'

# field NAME COLUMN: one cell of the table
field() {
    printf '%s\n' "$table" | awk -F ' *[|] *' -v name="$1" -v column="$2" '$1 == name { print $column }'
}

command_there() { command -v "$1" >/dev/null 2>&1; }

# The one that packages are made for: another may come first in PATH.
system_python() {
    if [ -x /usr/bin/python3 ]; then echo /usr/bin/python3; else echo python3; fi
}

at_least() { # VERSION WANTED: compares major.minor
    awk -v a="$1" -v b="$2" 'BEGIN { split(a, x, "."); split(b, y, ".")
        exit !(x[1] + 0 > y[1] + 0 || (x[1] + 0 == y[1] + 0 && x[2] + 0 >= y[2] + 0)) }'
}

# compiles TEXT: is it C++20 that the compiler accepts?
compiles() { printf '%s\n' "$1" | ${CXX:-g++} -std=c++20 -x c++ -fsyntax-only -; }

# links COMPILER SANITIZERS
links() {
    scratch=$(mktemp -d) || return 1
    echo 'int main() {}' | $1 -fsanitize="$2" -x c++ - -o "$scratch/a"
    links_status=$?
    rm -rf "$scratch"
    return "$links_status"
}

# Is the source of this wrap in place?  Then Meson builds it, and no package is needed.
unpacked() {
    folder=$(sed -n 's/^directory *= *//p' "$root/subprojects/$1.wrap") && [ -n "$folder" ] || return 1
    [ -f "$root/subprojects/$folder/meson.build" ] || [ -f "$root/subprojects/packagefiles/$folder.tar.gz" ]
}

have() {
    case $1 in
        cxx) compiles '#include <coroutine>
#if defined(__clang__) ? __clang_major__ < 16 : __GNUC__ < 12
#error "too old"
#endif' ;;
        meson) command_there meson && at_least "$(meson --version)" 1.0 ;;
        ninja) command_there ninja || command_there ninja-build || command_there samu ;;
        liburing) pkg-config --exists 'liburing >= 2.3' || unpacked liburing ;;
        libcrypto) pkg-config --exists 'libcrypto >= 3.0' ;;
        catch2) pkg-config --exists catch2-with-main || pkg-config --exists catch2 || unpacked catch2 ;;
        benchmark) pkg-config --exists benchmark || unpacked google-benchmark ;;
        hwloc) pkg-config --exists 'hwloc >= 2.5' ;;
        json) pkg-config --exists nlohmann_json ;;
        prometheus) "$(system_python)" -c 'import prometheus_client.parser' ;;
        redis-tools) command_there redis-cli && command_there redis-benchmark ;;
        gcc-sanitizers) links g++ address,undefined && links g++ thread ;;
        asio) compiles '#if !__has_include(<asio.hpp>)
#error "not there"
#endif' ;;
        clang)
            clang='clang++' symbolizer='llvm-symbolizer' # without it the sanitizers name no function
            command_there clang++-19 && clang='clang++-19' symbolizer='llvm-symbolizer-19'
            command_there "$symbolizer" && at_least "$($clang -dumpversion)" 16 && links "$clang" address,undefined && links "$clang" thread ;;
        tbb) pkg-config --exists tbb ;;
        libuv) pkg-config --exists libuv ;;
        openmp-clang) ! command_there clang++-19 || echo '#include <omp.h>' | clang++-19 -fopenmp -x c++ -fsyntax-only - ;;
        cargo) command_there cargo && command_there rustc ;;
        tokio | rayon) ls -d "/usr/share/cargo/registry/$1"-[0-9]* ;;
        find) command_there find && command_there xargs ;;
        *) command_there "$1" ;;
    esac >/dev/null 2>&1
}

missing_of() {
    for need in "$@"; do
        have "$need" || printf '%s ' "$need"
    done
}

say() { printf 'packages: %s\n' "$*"; }
complain() { printf 'packages: %s\n' "$*" >&2; }

describe() { # NEED...: one line each, to stderr
    for need in "$@"; do
        complain "  missing: $(field "$need" 2)"
    done
}

# --- what is asked for, and what of it is missing

[ $# -gt 0 ] || set -- build
needs=
for group in "$@"; do
    of_group=$(needs_of "$group") || {
        complain "unknown group '$group'; known: build test sanitize bench compare clang demo"
        exit 2
    }
    needs="$needs $of_group"
done
# shellcheck disable=SC2086  # lists of words, here and below
needs=$(printf '%s\n' $needs | awk '!seen[$0]++')
# shellcheck disable=SC2086
missing=$(missing_of $needs)
[ -n "$missing" ] || exit 0

# --- how to install on this system

manager=
column=3
for candidate in apt-get dnf pacman; do
    if command_there "$candidate"; then
        manager=$candidate
        break
    fi
    column=$((column + 1))
done
if [ -z "$manager" ]; then
    complain 'none of apt-get, dnf and pacman is here; please install by hand:'
    # shellcheck disable=SC2086
    describe $missing
    exit 1
fi

as_root=
may_install=yes
if [ "$(id -u)" -ne 0 ]; then
    if command_there sudo && sudo -n true 2>/dev/null; then
        as_root='sudo -n'
    elif command_there sudo && [ -t 0 ] && [ -t 2 ]; then
        as_root=sudo # asks for the password on the terminal
    else
        may_install=no
    fi
fi

log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
trap 'exit 130' INT TERM

# privileged COMMAND...: its output goes to the log
privileged() {
    $as_root env DEBIAN_FRONTEND=noninteractive "$@" </dev/null >>"$log" 2>&1
}

apt_version() { # PACKAGE: the version that would be installed, without epoch; nothing if there is none
    apt-cache policy "$1" 2>/dev/null | sed -n 's/^ *Candidate: *\([0-9]*:\)\{0,1\}//p' | grep -v '^(none)$'
}

# Debian and Ubuntu have clang under several names.
apt_clang() {
    if [ -n "$(apt_version clang-19)" ]; then
        echo clang-19 libclang-rt-19-dev llvm-19
    elif at_least "$(apt_version clang)" 16; then
        echo clang "libclang-rt-$(apt_version clang | sed 's/[^0-9].*//')-dev" llvm
    else
        field clang 3 # the message names what we looked for
    fi
}

package_names() { # NEED...
    for need in "$@"; do
        if [ "$manager $need" = 'apt-get clang' ]; then
            apt_clang
        else
            field "$need" "$column"
        fi
    done | tr ' ' '\n' | sed '/^-$/d' | sort -u | tr '\n' ' ' | sed 's/ $//'
}

refresh() {
    case $manager in
        apt-get) privileged apt-get -q -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 update ;;
        *) : ;; # dnf and pacman do it themselves
    esac
}

install_packages() { # PACKAGE...
    case $manager in
        apt-get) privileged apt-get -q -y --no-install-recommends -o Acquire::Retries=3 \
            -o DPkg::Lock::Timeout=300 install "$@" ;;
        dnf) privileged dnf -y --setopt=install_weak_deps=False install "$@" ;;
        pacman)
            # Without any package list this is a fresh image: bring it up to date.  Else leave the system as it is.
            if ls /var/lib/pacman/sync/*.db >/dev/null 2>&1; then
                privileged pacman -S --needed --noconfirm "$@"
            else
                privileged pacman -Syu --needed --noconfirm "$@"
            fi ;;
    esac
}

by_hand() { # PACKAGE...
    case $manager in
        apt-get) complain "by hand: apt-get update && apt-get install $*" ;;
        dnf) complain "by hand: dnf install $*" ;;
        pacman) complain "by hand: pacman -Syu --needed $*" ;;
    esac
}

# --- install

if [ "$may_install" = no ]; then
    complain 'something is missing, and only root may install it (not root, and no sudo without a password):'
    # shellcheck disable=SC2086
    describe $missing
    # shellcheck disable=SC2046,SC2086
    by_hand $(package_names $missing)
    exit 1
fi

refresh || complain "apt-get update failed; trying with the package lists that are here"
# shellcheck disable=SC2086
packages=$(package_names $missing)
say "installing with $manager: $packages"
# shellcheck disable=SC2086
if ! install_packages $packages; then
    say 'that failed; trying once more'
    sleep 5
    refresh
    # shellcheck disable=SC2086
    if ! install_packages $packages; then
        complain "$manager could not install: $packages.  The end of what it said:"
        tail -n 20 "$log" >&2
        # shellcheck disable=SC2086
        by_hand $packages
        exit 1
    fi
fi

# shellcheck disable=SC2086
missing=$(missing_of $missing)
if [ -n "$missing" ]; then
    complain "$manager installed its packages, but what this system offers is not enough:"
    # shellcheck disable=SC2086
    describe $missing
    exit 1
fi
say 'installed'
