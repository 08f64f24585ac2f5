# Makes the `events.jsonl` that the commands of RUNBOOK.md run on. Source it from bash at the root of a checkout.
#
# A stand-in for Codex writes what `FAKE_CODEX` says. Everything is in `target/practice`, which becomes the current
# directory.

export CODEX_PATH="$PWD/tests/turn/fake-codex"
server=$PWD/tests/examples/fake-app-server
mkdir -p target/practice && cd target/practice
export CODEX_HOME=$PWD/codex-home
cargo run --quiet --example quickstart | grep '"codex.attachment.cleanup' >events.jsonl
turn() { FAKE_CODEX=$1; shift; cargo run --quiet --example exec -- "$@" >>events.jsonl || echo "exit code $?"; }
export FAKE_CODEX

# One turn for each symptom.
begin="echo '{\"type\":\"turn.started\"}'; sleep 0.2"
run='"id":"item_0","type":"command_execution","command":"cargo test","aggregated_output":""'
turn "$begin; echo '{\"type\":\"item.started\",\"item\":{$run,\"status\":\"in_progress\"}}'; sleep 1
      echo '{\"type\":\"item.completed\",\"item\":{$run,\"exit_code\":101,\"status\":\"failed\"}}'
      echo '{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":12,\"output_tokens\":3}}'" hello
turn "$begin; echo '{\"type\":\"turn.failed\",\"error\":{\"message\":\"rate limit exceeded: try again in 1.5s\"}}'
      exit 1" --originator nightly hello
turn "$begin; echo '{\"type\":\"error\",\"message\":\"Reconnecting... waiting for network\"}'; sleep 60" \
    --timeout 2 hello
turn "echo 'Error loading config.toml: bad' >&2; exit 1" hello
turn "" --codex /no/such/codex hello

# A turn whose caller has a trace.
export TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
turn "$begin; echo '{\"type\":\"turn.completed\"}'" hello
unset TRACEPARENT

# A server with many turns, for programs with a `CodexAppServer`. In a conversation a command is declined.
served="exec sh '$server' app-server"
FAKE_CODEX=$served
printf '%s\n' 'Say hi' 'run a command' n |
    cargo run --quiet --example app_server -- --events events.jsonl >/dev/null 2>&1

# A program in which nobody answers an approval. Its server has locked its thread, as Codex does. Its input stays open.
locks=$CODEX_HOME/thread-writer-locks
FAKE_CODEX="mkdir -p '$locks'; exec 9>'$locks/00000000-0000-7000-8000-000000000001.lock'; $served"
mkfifo input; exec 3<>input; echo "run a command" >&3
cargo run --quiet --example app_server -- --originator support --events events.jsonl <&3 2>asked &
until grep -qs '^because' asked; do sleep 0.1; done
asking=$(pgrep -P $! -x app_server || echo $!)     # `cargo run` becomes the program, or has it as its child

# A program whose server is stopped in the middle of a turn.
FAKE_CODEX=$served
cargo run --quiet --example exec -- --app-server --originator nightly hang >>events.jsonl 2>program.log &
until grep -q '"codex.chat.start".*"nightly"' events.jsonl; do sleep 0.1; done
program=$(pgrep -P $! -x exec || echo $!)
kill -STOP "$(pgrep -P "$program" -f ' app-server$')"

# A turn whose application and watchdog are killed: it leaves two processes.
FAKE_CODEX='touch started; setsid sleep 600; true'
cargo run --quiet --example exec -- hello >>events.jsonl &
until test -e started; do sleep 0.1; done
exec=$(pgrep -P $! -x exec || echo $!)
pkill -KILL -f "[c]odex-watchdog $exec\$"          # it would kill them
kill -KILL "$exec"; wait $! 2>/dev/null || rm started

# Attachments that have expired, that never expire and that are half written; a temporary file; the file of a thread.
store=$PWD/attachments; hash=$(printf '%064d' 0)
mkdir -p "$store"; touch "$store/.lock" "$store/$hash-old.txt" "$store/.staging-0000000000000000"
touch -d '2201-01-01T00:00:00Z' "$store/$hash-kept.txt"
touch -d '1 hour ago' "${TMPDIR:-/tmp}/codex-output-schema-practice"
sessions=$CODEX_HOME/sessions/2026/10/01
mkdir -p "$sessions"
touch -d '40 days ago' "$sessions/rollout-2026-10-01T12-00-00-00000000-0000-7000-8000-000000000009.jsonl"

# The output of the stand-in from now on.
run='"id":"item_0","type":"command_execution","command":"ls","aggregated_output":""'
FAKE_CODEX="case \$* in *app-server) $served ;; esac
    echo '{\"type\":\"thread.started\",\"thread_id\":\"practice\"}'
    echo '{\"type\":\"item.started\",\"item\":{$run,\"status\":\"in_progress\"}}'; sleep 0.1
    echo '{\"type\":\"item.completed\",\"item\":{$run,\"exit_code\":0,\"status\":\"completed\"}}'
    echo '{\"type\":\"item.completed\",\"item\":{\"id\":\"item_1\",\"type\":\"agent_message\",\"text\":\"Hi\"}}'
    echo '{\"type\":\"turn.completed\",\"usage\":{\"input_tokens\":12,\"output_tokens\":3}}'"
