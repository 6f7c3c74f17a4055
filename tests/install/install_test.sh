#!/bin/sh
# SPDX-License-Identifier: MIT
#
# Builds program.cpp outside the tree in the three ways that a user may choose: as a Meson subproject, by Meson's dependency('peal')
# from an installed copy, and by pkg-config with a bare compiler call.
#
# usage: install_test.sh SOURCE_ROOT CXX   (run by `meson test --suite install`)
set -eu

source=$1
cxx=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM

step() {
    name=$1
    shift
    if ! "$@" >"$work/log" 2>&1; then
        echo "install_test: $name failed:"
        tail -n 40 "$work/log"
        exit 1
    fi
}

check() {
    answer=$(LD_LIBRARY_PATH="${2:-}" "$1")
    if [ "$answer" != "2000 read" ]; then
        echo "install_test: $1 printed '$answer', expected '2000 read'"
        exit 1
    fi
}

export CXX="$cxx"
unset CXXFLAGS LDFLAGS || true
mkdir "$work/user" "$work/user/subprojects"
cp "$source/tests/install/program.cpp" "$work/user/"
cat >"$work/user/meson.build" <<'MESON'
project('user', 'cpp', default_options: ['cpp_std=c++20'])
executable('program', 'program.cpp', dependencies: dependency('peal'))
MESON

# 1 subproject: only what peal's own build needs is copied
mkdir "$work/user/subprojects/peal"
for part in meson.build meson_options.txt include runtime examples tests bench; do
    cp -R "$source/$part" "$work/user/subprojects/peal/"
done
printf '[wrap-file]\ndirectory = peal\n[provide]\npeal = peal_dependency\n' >"$work/user/subprojects/peal.wrap"
step "setup as a subproject" meson setup "$work/build-subproject" "$work/user" --wrap-mode=forcefallback --force-fallback-for=peal
if find "$work/build-subproject" -name 'echo_server*' | grep -q .; then
    echo "install_test: a subproject build includes the examples"
    exit 1
fi
step "build as a subproject" ninja -C "$work/build-subproject" program
check "$work/build-subproject/program"

# 2 installed: by Meson
step "setup for installation" meson setup "$work/build-install" "$work/user/subprojects/peal" --prefix="$work/prefix" --libdir=lib \
    -Dexamples=disabled -Dtests=disabled -Dbench=disabled
step "installation" meson install -C "$work/build-install"
rm -rf "$work/user/subprojects"
PKG_CONFIG_PATH="$work/prefix/lib/pkgconfig"
export PKG_CONFIG_PATH
step "setup against the installed copy" meson setup "$work/build-installed" "$work/user"
step "build against the installed copy" ninja -C "$work/build-installed" program
check "$work/build-installed/program" "$work/prefix/lib"

# 3 installed: by pkg-config
step "bare compiler call" sh -c "$cxx \$(pkg-config --cflags peal) -o $work/bare $work/user/program.cpp \$(pkg-config --libs peal)"
check "$work/bare" "$work/prefix/lib"
echo "subproject, installed, pkg-config: works with $cxx"
