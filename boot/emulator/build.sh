# SPDX-License-Identifier: BSD-2-Clause
# shellcheck shell=bash
# What `run` and `test` share: packages, and the build. Sourced, with $top set.

: "${top:?}"
python=/usr/bin/python3
build=$top/build
# A user's PATH need not have the places of mkfs.fat, sfdisk and depmod.
export PATH=$PATH:/usr/sbin:/sbin
export PYTHONDONTWRITEBYTECODE=1

fail() {
	echo "${0##*/}: $*" >&2
	exit 1
}

# Installs those of the packages in packages.txt that are missing.
install_packages() {
	local missing=() name
	local as_root=()
	while read -r name; do
		case $name in '' | '#'*) continue ;; esac
		case $(dpkg-query -W -f '${db:Status-Status}' "$name" 2>/dev/null || true) in
		installed) ;;
		*) missing+=("$name") ;;
		esac
	done <"$top/boot/emulator/packages.txt"
	[ "${#missing[@]}" -gt 0 ] || return 0

	echo "${0##*/}: installing ${missing[*]}" >&2
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null ||
			fail "these Debian packages are missing, and installing them takes root: ${missing[*]}"
		as_root=(sudo)
	fi
	{
		"${as_root[@]}" apt-get update -q
		"${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -q --no-install-recommends "${missing[@]}"
	} >&2 || fail "apt-get could not install the missing packages"
}

# Configures (when there is something new), builds, and puts the service VM's image for the Debian
# kernel $1 together. Runs of one checkout take turns.
build_all() {
	mkdir -p "$build"
	exec 9>"$build/.lock"
	if ! flock -n 9; then
		echo "${0##*/}: waiting for another build in this checkout" >&2
		flock 9
	fi
	build_programs
	"$python" "$top/service/image.py" --kernel "$1" || exit 1
	exec 9>&-
}

build_programs() {
	local log=$build/build.log lists
	lists=$(find "$top" -path "$build" -prune -o -name CMakeLists.txt -newer "$build/build.ninja" \
		-print 2>/dev/null || echo none)
	if [ ! -e "$build/build.ninja" ] || [ -n "$lists" ]; then
		cmake -S "$top" -B "$build" -G Ninja >"$log" 2>&1 || build_failed "$log"
	fi
	if ninja -C "$build" -n | grep -q 'no work to do'; then
		:
	elif [ -t 2 ]; then
		ninja -C "$build" --quiet >&2 || exit 1
	else
		ninja -C "$build" --quiet >"$log" 2>&1 || build_failed "$log"
	fi
	rm -rf "$build/service/stage"
	cmake --install "$build" --prefix "$build/service/stage" --component service \
		>"$log" 2>&1 || build_failed "$log"
}

build_failed() {
	cat "$1" >&2
	fail "the build failed"
}

launcher() {
	PYTHONPATH=$top/boot "$python" -m emulator "$@"
}

launcher_exec() {
	PYTHONPATH=$top/boot exec "$python" -m emulator "$@"
}
