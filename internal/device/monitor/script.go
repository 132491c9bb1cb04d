package monitor

// script prints a block per sample, which begins with an empty line and ends with end, each line a keyword with a name without blanks and a value, what people call it last. Nearly
// everything is done by the shell itself, so that the watching costs little.
//
// $1 goes before /proc and /sys. The pause is $3 seconds, one by one, and then $2 of a second; an empty line in between notices that
// nobody reads any more, so that nothing is left when the connection is lost.
const script = `r=$1
mon=
for m in sysMonApp "$r/usr/bin/sysMonApp" "$r/vendor/bin/sysMonApp" "$r/data/local/tmp/sysMonApp"; do
m=$(command -v "$m" 2>/dev/null) && { mon=$m; break; }
done
limit=
command -v timeout >/dev/null 2>&1 && limit='timeout 2'
failed=0
get() { v=; [ -r "$1" ] && IFS= read -r v 2>/dev/null < "$1"; [ -n "$v" ]; }
while :; do
echo
get "$r/proc/uptime" && echo "uptime - $v"
get "$r/proc/loadavg" && echo "load - $v"
get "$r/proc/stat" && echo "stat - $v"
[ -r "$r/proc/meminfo" ] && while read -r k v; do case $k in
MemTotal:|MemAvailable:) echo "mem $k $v";;
esac; done < "$r/proc/meminfo"
for z in "$r"/sys/class/thermal/thermal_zone*; do
get "$z/temp" && { t=$v; get "$z/type"; echo "temp ${z##*/} $t $v"; }
done
for p in "$r"/sys/class/hwmon/hwmon*/power*_input "$r"/sys/class/hwmon/hwmon*/power*_average; do
get "$p" || continue
w=$v; f=${p##*/}; h=${p%/*}; n=; l=
case $f in *_average) [ -r "$h/${f%_average}_input" ] && continue;; esac
get "$h/name" && n=$v
get "$h/${f%%_*}_label" && l=$v
echo "power ${h##*/}/${f%%_*} $w $n $l"
done
for s in "$r"/sys/class/power_supply/*; do
if get "$s/power_now"; then echo "power ${s##*/} $v"
elif get "$s/voltage_now"; then u=$v; get "$s/current_now" && echo "supply ${s##*/} $u $v"
fi
done
for c in "$r"/sys/devices/system/cpu/cpu[0-9]*; do
get "$c/cpufreq/scaling_cur_freq" && echo "khz ${c##*/} $v"
done
for f in "$r"/sys/class/devfreq/*; do
get "$f/cur_freq" && echo "hz ${f##*/} $v"
done
if [ -n "$mon" ]; then
if d=$($limit "$mon" getPowerStats --q6 cdsp 2>/dev/null </dev/null); then
failed=0
echo "$d" | while IFS= read -r v; do echo "dsp - $v"; done
else
failed=$((failed+1))
[ $failed -lt 3 ] || mon=
fi
fi
echo end || exit
n=0
while [ $n -lt "$3" ]; do sleep 1; echo || exit; n=$((n+1)); done
[ "$2" = 0.000 ] || sleep "$2" 2>/dev/null || sleep 1 || exit
done`
