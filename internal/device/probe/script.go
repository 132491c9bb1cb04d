package probe

// wanted are the programs that are looked for.
var wanted = []Tool{
	{Name: "snpe-net-run", For: "all layers' outputs, cycles", Needed: true},
	{Name: "snpe-throughput-net-run", For: "inferences per second", Needed: true},
	{Name: "snpe-diagview", For: "cycles, unless this machine has it"},
	{Name: "snpe-dlc-info", For: "the listing of a DLC"},
	{Name: "snpe-parallel-run", For: "several runtimes at once"},
	{Name: "snpe-platform-validator", For: "which processors can be used"},
	{Name: "snpe-dlc-graph-prepare", For: "preparing a DLC there"},
	{Name: "sysMonApp", For: "the DSP's load"},
	{Name: "sha256sum", For: "sending files", Needed: true},
	{Name: "tar", For: "fetching outputs", Needed: true},
}

func names() []string {
	list := make([]string, len(wanted))
	for i, t := range wanted {
		list[i] = t.Name
	}
	return list
}

// script prints lines of a key and a value. $1 goes before /proc and /sys, $2 is the folder, the tools' names follow.
const script = `r=$1; dir=$2
shift 2
one() { v=; [ -r "$2" ] && IFS= read -r v 2>/dev/null < "$2"; [ -n "$v" ] && printf '%s %s\n' "$1" "$v"; }
one soc.machine "$r/sys/devices/soc0/machine"
one soc.family "$r/sys/devices/soc0/family"
one soc.id "$r/sys/devices/soc0/soc_id"
for k in model compatible; do
[ -r "$r/proc/device-tree/$k" ] && tr '\000' '\n' < "$r/proc/device-tree/$k" | while IFS= read -r v || [ -n "$v" ]; do
printf '%s %s\n' "$k" "$v"; done
done
[ -r "$r/etc/os-release" ] && while IFS= read -r v || [ -n "$v" ]; do printf 'os %s\n' "$v"; done < "$r/etc/os-release"
if command -v getprop >/dev/null 2>&1; then
for k in ro.build.version.release ro.product.model ro.soc.model ro.soc.manufacturer; do
v=$(getprop $k 2>/dev/null) && [ -n "$v" ] && printf 'prop %s %s\n' "$k" "$v"
done
fi
printf 'kernel %s\n' "$(uname -s -r)"
printf 'arch %s\n' "$(uname -m)"
[ -r "$r/proc/cpuinfo" ] && printf 'cores %s\n' "$(grep -c '^processor' "$r/proc/cpuinfo")"
[ -r "$r/proc/meminfo" ] && while read -r k v; do [ "$k" = MemTotal: ] && printf 'mem %s\n' "$v"; done < "$r/proc/meminfo"
p=$dir
while [ ! -d "$p" ] && [ -n "$p" ]; do p=${p%/*}; done
[ -n "$p" ] || p=/
df -Pk "$p" 2>/dev/null | while IFS= read -r v; do printf 'df %s\n' "$v"; done
if [ "$p" = "$dir" ]; then [ -w "$p" ] && echo 'dir writable' || echo 'dir not writable'
else [ -w "$p" ] && echo 'dir missing' || echo 'dir missing, and cannot be made'
fi
for t in "$@"; do
v=$(command -v "$t" 2>/dev/null) || v=
if [ -z "$v" ]; then for d in /usr/bin /vendor/bin /data/local/tmp; do
[ -x "$r$d/$t" ] && { v=$r$d/$t; break; }
done; fi
printf 'tool %s %s\n' "$t" "$v"
done
exit 0`
