#!/bin/sh
# Builds one program with Cargo, without network and with everything it writes, its lock file too, in one folder.
#   sh cargo.sh CARGO CRATES SOURCE NAME NEEDED FOLDER OUTPUT    NEEDED: what Cargo.toml says of the library NAME
set -eu
cargo=$1 crates=$2 source=$(realpath "$3") name=$4 needed=$5 folder=$6 output=$7
program=$(basename "$output")
mkdir -p "$folder"
cat >"$folder/Cargo.toml" <<END
[package]
name = "$program"
version = "0.0.0"
edition = "2021"

[[bin]]
name = "$program"
path = "$source"

[dependencies]
$name = $needed

[profile.release]
lto = "fat"
codegen-units = 1
END
# What --version prints: the name of the library's folder, and the compiler.
LIBRARY="$(basename "$(ls -d "$crates/$name"-[0-9]*)"), $(cd "$folder" && rustc --version)"
export LIBRARY
"$cargo" build --quiet --release --offline --manifest-path "$folder/Cargo.toml" --target-dir "$folder/target" \
    --config 'source.crates-io.replace-with="packaged"' --config "source.packaged.directory=\"$crates\""
cp "$folder/target/release/$program" "$output"
