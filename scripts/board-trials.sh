#!/usr/bin/env bash
# board-trials.sh - what no quick board can show, tried on a whole emulated one (scripts/board-system.sh) as its user would: the cable pulled and the reset
# pressed while the board measures and while it is deployed to, and heat while it measures. Each trial says what was seen and whether it is what
# was promised; the exit code is the number of those that were not. Times say nothing about a real board.
#
#   board-trials.sh FETTLE [TRIAL...]    trials: add cable unplugged reset deploy heat forget; all of them by default
#
# BOARD_DIR as for board-system.sh, whose board must not run: it is booted from a fresh disk and ended afterwards. BIG is a model of 5 MB or more, for deploy (SqueezeNet).
set -uo pipefail
F=$(realpath "${1:?give the fettle program}")
shift
HERE=$(cd "$(dirname "$0")" && pwd)
export BOARD_DIR=${BOARD_DIR:-$HERE/../.cache/board-system}
mkdir -p "$BOARD_DIR"
BOARD_DIR=$(cd "$BOARD_DIR" && pwd)
W=$(mktemp -d)
export FETTLE_HOME=$W/home
BAD=0 T=emulated

B() { "$HERE/board-system.sh" "$@"; }
say() { printf '%s  %s\n' "$(date +%T)" "$*"; }
ok() { # ok WHAT TEST...: whether a test holds
	local what=$1
	shift
	if "$@"; then say "ok    $what"; else say "FAIL  $what"; BAD=$((BAD + 1)); fi
}
both() { "$@" 2>&1 | tr '\r' '\n'; return "${PIPESTATUS[0]}"; }

# patient runs a command again while the board cannot be reached: an emulated one that has little of the computer answers late.
patient() {
	local rc
	for _ in {1..8}; do
		both "$@"
		rc=$?
		((rc == 4)) || return $rc
		sleep 3
	done
	return $rc
}

# json FILE EXPRESSION says what Python makes of p, which is the file.
json() { python3 -c 'import json, sys; p = json.load(open(sys.argv[1])); print(eval(sys.argv[2]))' "$@" 2>/dev/null; }

# await waits on the board until a command says a number that is larger, for three minutes at most, and prints it. One login does it: they are what an emulated
# board is slowest at.
await() { B in "n=0; until m=\$($2 2>/dev/null | tail -n1); [ \"\${m:-0}\" -gt $1 ] || [ \$n -gt 180 ]; do sleep 1; n=\$((n + 1)); done; echo \${m:-0}" 2>/dev/null || echo 0; }

EVENTS='cat /home/pi/.fettle/store/jobs/*/events | wc -l'
CHUNKS='du -sk /home/pi/.fettle/store/chunks | cut -f1'

# measuring starts a measurement of 4 launches of 30 runs in the background and waits until more than N events of it are on the board.
measuring() { # measuring NAME N
	local try n=0
	for try in {1..8}; do # a board that does not answer in time is asked again, as patient does
		B in 'rm -rf /home/pi/.fettle/store/jobs' 2>/dev/null
		rm -f "$W/$1.rc"
		(both "$F" profile "$W/sample.onnx" --target $T --runs 30 --launches 4 --again "${AGAIN:-0}" -o "$W/$1.json" >"$W/$1.txt"; echo $? >"$W/$1.rc") &
		PROFILE=$!
		n=$(await "$2" "$EVENTS")
		[[ -f $W/$1.rc && $(<"$W/$1.rc") == 4 ]] || break
	done
	[[ ! -f $W/$1.rc ]] || { say "FAIL  the measurement ended before anything could be done: $(tail -n1 "$W/$1.txt")"; BAD=$((BAD + 1)); return 1; }
	say "      $n events are on the board"
}

# whole says whether a profile has each sample once: the desk refuses a wrong order, so the counts tell.
whole() { [[ $(json "$1" "p['complete'], p['clean']['launches'] or 0, len(p['launches']), sum(l['n'] for l in p['launches'])") == "(True, "*", $2, $3)" ]]; }

add() {
	local finger
	finger=$(ssh-keygen -lf "$BOARD_DIR/keys/host.pub" | awk '{ print $2 }')
	patient "$F" -q target add $T "ssh://pi@127.0.0.1:$(<"$BOARD_DIR/run/port")" --identity "$BOARD_DIR/keys/id_ed25519" --accept-host-key "$finger" | sed -n 1,3p
	"$F" sample -o "$W/sample.onnx" >/dev/null 2>&1
	patient "$F" -q deploy "$W/sample.onnx" --target $T | head -n1
	ok "the sample is deployed and active" grep -q '"active"' <(patient "$F" -q deployments --target $T --json)
}

cable() { # out for 12 s: less than the keepalives need to notice
	measuring cable 12 || return
	B link off
	say "      the cable is out"
	sleep 12
	B link on
	say "      and in again"
	wait $PROFILE
	ok "cable out for 12 s: every sample arrived once (rc $(<"$W/cable.rc"))" whole "$W/cable.json" 4 120
}

unplugged() { # out for 45 s: the connection is given up and made anew
	measuring unplugged 12 || return
	B link off
	say "      the cable is out"
	sleep 45
	B link on
	say "      and in again"
	wait $PROFILE
	ok "cable out for 45 s: the same run went on, every sample arrived once (rc $(<"$W/unplugged.rc"))" whole "$W/unplugged.json" 4 120
	# control: without the board in time the run is interrupted, never a short one
	measuring lost 12 || return
	B link off
	say "      control: the cable is out until the desk gives up"
	wait $PROFILE
	B link on
	ok "control: cable out for good: interrupted, no profile ($(grep -o 'the run is interrupted after [0-9]* of [0-9]* inferences' "$W/lost.txt" | tail -n1))" test "$(<"$W/lost.rc")" != 0 -a ! -e "$W/lost.json"
}

back() { # until the board lets in again
	for _ in {1..120}; do B in true 2>/dev/null && return; sleep 3; done
	say "FAIL  the board did not come back"
	BAD=$((BAD + 1))
}

reset() {
	measuring reset 12 || return
	B reset
	say "      reset"
	wait $PROFILE
	ok "reset while measuring: an error, no profile (rc $(<"$W/reset.rc"): $(grep -o '[^.]*interrupted[^;]*' "$W/reset.txt" | tail -n1))" test "$(<"$W/reset.rc")" != 0 -a ! -e "$W/reset.json"
	back
	ok "what was deployed is active" grep -q '"active"' <(patient "$F" -q deployments --target $T --json)
	patient "$F" -q profile "$W/sample.onnx" --target $T --runs 5 --launches 1 --again 0 -o "$W/after.json" >"$W/after.txt"
	ok "and can be measured" whole "$W/after.json" 1 5
}

deploy() {
	local big=${BIG:-$W/big.onnx} size active n=0
	[[ -f $big ]] || "$F" sample squeezenet11 -o "$big" >/dev/null 2>&1 || { say "skip  deploy: set BIG to a model of 5 MB or more"; return; }
	size=$(await 0 "$CHUNKS")
	while :; do
		n=$((n + 1))
		(both "$F" deploy "$big" --name sample --target $T >"$W/deploy$n.txt"; echo $? >"$W/deploy$n.rc") &
		PROFILE=$!
		say "      $(await $((size + 1500 * n)) "$CHUNKS") KiB of chunks are on the board"
		[[ ! -f $W/deploy$n.rc ]] || break
		B reset
		say "      reset in upload $n"
		wait $PROFILE
		back
		ok "reset while deploying: an error (rc $(<"$W/deploy$n.rc")), the version before is active, none is half there" test "$(json <(patient "$F" -q deployments --target $T --json) "[(d['name'], d['version'], d['state']) for d in p]")" = "[('sample', 1, 'active')]"
		((n < 2)) || break
	done
	patient "$F" deploy "$big" --name sample --target $T >"$W/deploy.txt"
	say "      $(grep -m1 travelled "$W/deploy.txt")"
	active=$(json <(patient "$F" -q deployments --target $T --json) "[(d['version'], d['state']) for d in p][0]")
	ok "deploying again went through: $active" test "$active" = "(2, 'active')"
	patient "$F" -q rollback sample --target $T >/dev/null
}

heat() {
	AGAIN=3 measuring heat 12 || return
	B in /etc/board/heat on
	say "      hot"
	sleep 5
	B in /etc/board/heat off
	say "      cool"
	wait $PROFILE
	say "      $(json "$W/heat.json" "'%d launches, throttled: %s, used: %d; %s; %s' % (len(p['launches']), [i for i, l in enumerate(p['launches']) if l.get('why') == 'throttled'], p['clean']['launches'], p['conditions']['seal'], [w for w in p.get('warnings', []) if 'again' in w])")"
	ok "hot for 5 s while measuring: the launch is marked, not used, and made up for (rc $(<"$W/heat.rc"))" test "$(json "$W/heat.json" "any(l.get('why') == 'throttled' for l in p['launches']) and not any(l['used'] and l.get('why') == 'throttled' for l in p['launches']) and len(p['launches']) > 4")" = True
	# controls: hot all the time is red, cool all the time has no such launch
	B in /etc/board/heat on
	patient "$F" -q profile "$W/sample.onnx" --target $T --runs 5 --launches 1 --again 0 -o "$W/hot.json" >/dev/null
	ok "control: hot all the time: $(json "$W/hot.json" "p['conditions']['seal'], p['conditions']['temperature_c']")" test "$(json "$W/hot.json" "p['conditions']['seal']")" = red
	(sleep 10; B in /etc/board/heat off) &
	patient "$F" -q target fix $T cool-down | tail -n1
	patient "$F" -q profile "$W/sample.onnx" --target $T --runs 5 --launches 1 --again 0 -o "$W/cool.json" >/dev/null
	ok "control: cool all the time: nothing was throttled, $(json "$W/cool.json" "p['conditions']['temperature_c']")" test "$(json "$W/cool.json" "any(l.get('why') == 'throttled' for l in p['launches'])")" = False
}

forget() {
	patient "$F" -q target forget $T --remove
	ok "nothing is left of Fettle on the board" test -z "$(B in 'find /home/pi -mindepth 1 -not -path "*/.ssh*" -not -name ".bash*" -not -name .profile' 2>/dev/null)"
}

B down # a board of before knows another desk's key
B up >/dev/null || exit 1
# a board whose sshd gets no share of a busy computer answers nobody: NICE=-15 for its process and its scheduling group helps there
if [[ -n ${NICE:-} ]]; then
	for t in /proc/"$(<"$BOARD_DIR/run/pid")"/task/*; do renice -n "$NICE" -p "${t##*/}" >/dev/null; done
	echo "$NICE" 2>/dev/null >"/proc/$(<"$BOARD_DIR/run/pid")/autogroup"
fi
say "load $(cut -d' ' -f1-3 /proc/loadavg), $("$F" version 2>/dev/null | head -n1)"
for t in ${*:-add cable unplugged reset deploy heat forget}; do
	say "== $t"
	"$t"
done
say "$BAD promises were not kept"
B down
exit $BAD
