#!/usr/bin/env bash
# Runs several servers that share one port and one world: tools/processes.sh N PROGRAM [ARGUMENT]...
# start.sh calls it; N=0 with --takeover is the number of processes that run.
#
# * A server that ends is started again after a second, at most five times in five minutes. Invalid configuration (status 2), or a
#   server that can't start at first (status 1), ends all.
# * SIGTERM and SIGINT end all, a second one at once. SIGHUP reaches all, unless the terminal has hung up, which ends all.
# * --takeover starts new programs that take over all players of another such script, which ends. Redis stays.
#
# Its folder, which only this user may enter, is in XDG_RUNTIME_DIR, or else in /tmp:
#   supervisor   process id of this script; during a takeover, of the new one
#   processes    number of servers
#   secret       CLUSTER_SECRET of a world of its own, for the next script
#   redis        process id of tools/local-redis.sh, if it runs
#   redis.sock   socket of its Redis
set -euo pipefail
umask 077

STARTS_MAX=5 STARTS_US=300000000 PAUSE_US=1000000
# A server that ends with status 1 sooner than this after its first start could not start.
STARTING_US=10000000

count=$1 program=$2 arguments=() is_takeover=''
for argument in "${@:3}"; do
  case $argument in
    --takeover | -takeover) is_takeover=1 ;;
    *) arguments+=("$argument") ;;
  esac
done

exec {log}>&2
say() { echo "start.sh: $*" >&"$log"; }
die() { say "${@:2}"; exit "$1"; }

# Prints a setting as the servers understand arguments, environment and environment file; empty if it is unset or secret.
config="$("$program" "${arguments[@]}" --print-config)"
setting() {
  sed -n "s/^$1=//p" <<<"$config" | tr -d "'\""
}
port="$(setting PORT)"

runtime=/tmp
[[ ${XDG_RUNTIME_DIR:-} != /* || ! -w ${XDG_RUNTIME_DIR:-} ]] || runtime=$XDG_RUNTIME_DIR
folder="$runtime/pixi-game-server-$UID-$port.d"
[[ ! -e $folder && ! -L $folder ]] || [[ -O $folder && ! -L $folder ]] || die 1 "$folder belongs to another user"

# Process id in a file of the folder; 0 unless it runs.
running() {
  local pid=0
  read -r pid 2>/dev/null <"$folder/$1" || true
  kill -0 "$pid" 2>/dev/null || pid=0
  echo "$pid"
}

note() { # file, its content: replaced at once, for readers at the same time
  echo "$2" >"$folder/$1.new" && mv "$folder/$1.new" "$folder/$1"
}

former="$(running supervisor)"
if [[ -n $is_takeover ]]; then
  if (( former == 0 )); then
    (( count <= 1 )) || die 1 "--takeover: one server or none runs on port $port, not $count: expected PROCESSES=1"
    exec "$program" "${arguments[@]}" --takeover
  fi
  read -r others <"$folder/processes"
  (( count == 0 || count == others )) ||
    die 1 "--takeover: $others processes run on port $port, not $count: expected PROCESSES=$others"
  count=$others
else
  (( former == 0 )) || die 1 "$(<"$folder/processes") processes run on port $port (start.sh has process id $former):" \
    "stop it, run start.sh --takeover, or choose another PORT"
  [[ $port != 0 ]] || die 2 "PORT=0: expected a port that $count processes can share"
  # The Redis of a script that was killed is ending.
  for (( tries = 0; tries < 100 && $(running redis) > 0; tries++ )); do sleep 0.1; done
  rm -rf "$folder"
  mkdir "$folder"
  note processes "$count"
fi

# Several servers need a port each for their metrics.
admin="$(setting ADMIN_ADDR)"
if [[ $admin =~ ^(.*:)([1-9][0-9]*)$ ]]; then
  arguments+=(--admin-addr="$admin-$((BASH_REMATCH[2] + count - 1))")
fi
name="$(setting NODE_NAME)"
if [[ -z $name ]]; then
  host="${HOSTNAME//[^A-Za-z0-9.-]/}"
  name="${host:0:40}-$port"
fi
is_terminal=''
[[ ! -t $log ]] || is_terminal=1

# Reading from it waits for a server that takes over, or for nothing, without a process.
mkfifo "$folder/taken" && exec {taken}<>"$folder/taken" && rm "$folder/taken"
# Ctrl-C reaches this script only, and a server does not outlive it, however it ends.
bound=(setsid)
! setpriv --pdeathsig TERM true 2>/dev/null || bound+=(setpriv --pdeathsig TERM)

now() { now_us="${EPOCHREALTIME/[.,]/}"; }
now
started_us=$now_us
pids=() due_us=() starts=() redis=0 signal_number=0 status=0

stop() { # number of the signal
  signal_number=$1 due_us=()
  (( ${#pids[@]} == 0 )) || kill -TERM "${pids[@]}" 2>/dev/null || true
}
reload() {
  if [[ -n $is_terminal && ! -t $log ]]; then
    # The terminal and its shell may both send SIGHUP; the second must not end the shutdown of the servers.
    is_terminal='' && stop 1
  elif (( ${#pids[@]} > 0 )); then
    kill -HUP "${pids[@]}" 2>/dev/null || true
  fi
}
trap 'stop 15' TERM
trap 'stop 2' INT
trap reload HUP

# Ends a Redis that was started here, unless another script has taken over.
finish() {
  [[ $(<"$folder/supervisor") == "$$" ]] 2>/dev/null || return 0
  if (( redis > 0 )); then
    kill -TERM "$redis" 2>/dev/null || true
    while kill -0 "$redis" 2>/dev/null; do sleep 0.05; done
  fi
  rm -rf "$folder"
}
trap finish EXIT

start_redis() {
  setsid tools/local-redis.sh "$folder" </dev/null 2>&"$log" {log}>&- &
  redis=$!
  note redis "$redis"
}

# Names the bus of the world, and starts it unless it is there.
join() {
  grep -q '^CLUSTER_URL=$' <<<"$config" || return 0
  arguments+=(--cluster-url="redis+unix://$folder/redis.sock")
  if [[ -n $is_takeover ]]; then
    redis="$(running redis)"
    (( redis > 0 )) || die 1 "--takeover: the processes on port $port have another Redis: set CLUSTER_URL as they have it"
  else
    tools/local-redis.sh --find "$count"
    od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/secret"
    start_redis
    for (( tries = 0; tries < 100; tries++ )); do
      [[ ! -S $folder/redis.sock ]] || break
      sleep 0.1
    done
    [[ -S $folder/redis.sock ]] || die 1 "Redis does not start: $(tail -n 1 "$folder/redis.log")"
  fi
  if grep -q '^CLUSTER_SECRET=$' <<<"$config"; then
    CLUSTER_SECRET="$(<"$folder/secret")"
    export CLUSTER_SECRET
  fi
}

start() { # number, further arguments
  local number=$1
  now
  starts[number]="${starts[number]:-} $now_us"
  "${bound[@]}" "$program" "${arguments[@]}" --reuse-port=true --node-name="$name-$number" "${@:2}" \
    </dev/null 2>&"$log" {log}>&- &
  pids[number]=$!
}

# Whether a server may be started again: at most STARTS_MAX times in STARTS_US.
may_start() { # number
  local at recent=''
  for at in ${starts[$1]}; do
    (( at < now_us - STARTS_US )) || recent+=" $at"
  done
  starts[$1]=$recent
  set -- $recent
  (( $# < STARTS_MAX ))
}

ended() { # number
  local number=$1 code=0
  wait "${pids[number]}" || code=$?
  unset "pids[number]"
  now
  if (( signal_number > 0 )); then
    (( code != 143 )) || code=$((128 + signal_number))
    (( status != 0 )) || status=$code
  elif (( code == 0 )) && [[ $(<"$folder/supervisor") != "$$" ]]; then
    :
  elif (( code == 2 || (code == 1 && now_us - started_us < STARTING_US) )); then
    status=$code
    stop 15
  elif may_start "$number"; then
    say "process $number ended with status $code, and is started again"
    due_us[number]=$((now_us + PAUSE_US))
  else
    say "process $number ended with status $code, for the fifth time in five minutes, and stays down"
    status=$code
  fi
}

take_over() {
  local number line part
  for (( number = 1; number <= count && signal_number == 0; number++ )); do
    start "$number" --takeover >&"$taken"
    line=''
    until [[ $line == "taken over" ]]; do
      # A timeout may leave the line in two parts.
      part='' && read -rt 0.1 -u "$taken" part || true
      line+=$part
      [[ $line != "taken over" ]] || continue
      kill -0 "${pids[number]}" 2>/dev/null && continue
      wait "${pids[number]}" || status=$?
      unset "pids[number]"
      if (( number == 1 )); then
        note supervisor "$former"
        exit "$status"
      fi
      say "process $number is not taken over, and goes on under process $former; run start.sh --takeover again"
      break
    done
  done
}

[[ -n $is_takeover ]] || note supervisor $$
join
note supervisor $$
if [[ -n $is_takeover ]]; then
  take_over
else
  say "$count processes share port $port: $name-1 to $name-$count"
  for (( number = 1; number <= count && signal_number == 0; number++ )); do start "$number"; done
fi

while (( ${#pids[@]} + ${#due_us[@]} > 0 )); do
  read -rt 0.2 -u "$taken" _ || true
  for number in "${!pids[@]}"; do
    kill -0 "${pids[number]}" 2>/dev/null || ended "$number"
  done
  now
  for number in "${!due_us[@]}"; do
    (( now_us >= due_us[number] )) || continue
    unset "due_us[number]"
    start "$number"
  done
  (( redis == 0 || signal_number > 0 )) || kill -0 "$redis" 2>/dev/null || start_redis
  # Without the shell's own message about each killed process.
done 2>/dev/null
exit "$status"
