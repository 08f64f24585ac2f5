# Kills the child processes of a program that died without killing them; see watchdog.rs.
#
# Standard input is a pipe whose other end only the program has. The program writes `+ PID:START` when a
# process has started and `- PID:START` when it has exited. START is field 22 of /proc/PID/stat, or empty
# where that is unknown. The end of the input means that the program has died. The script uses builtins of
# the shell only, and starts no process.

program=$1
trap '' HUP INT QUIT TERM
# Descriptors that the program inherited without its knowledge.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

running=' '
while read -r sign process; do
    case $sign in
        +) running="$running$process " ;;
        -) running="${running%%" $process "*} ${running#*" $process "}" ;;
    esac
done
# The program lives on, and needs no watchdog any more.
case $running in *:*) ;; *) exit ;; esac

# Without a /proc that has this process's ids, only process groups can be killed.
proc=/proc
read -r self rest </proc/self/stat
[ "$self" = "$$" ] || proc=/dev/null

# The total number of polls: a fraction of a second.
polls=500

# Reads the state, the parent and the start time of a process or thread.
read_stat() {
    read -r stat <"$1/stat" || return
    set -- ${stat##*") "}
    state=$1 parent=$2 start=${20}
}

# Whether the program is still exiting. The kernel then continues its stopped children.
is_exiting() {
    read_stat "$proc/$$" && [ "$parent" = "$program" ]
}

# Whether a thread of a process is not stopped yet; it may be starting a child.
is_running() {
    for thread in "$proc/$1/task/"*; do
        read_stat "$thread" || continue
        case $state in T | t | Z | X) ;; *) return 0 ;; esac
    done
    return 1
}

while is_exiting && [ "$polls" -gt 0 ]; do polls=$((polls - 1)); done

roots=
for process in $running; do
    root=${process%%:*}
    # With another start time, the id was reused.
    if read_stat "$proc/$root" && [ "$start" != "${process#*:}" ]; then continue; fi
    kill -STOP "$root"
    roots="$roots $root"
done

# From the top: each process is stopped before its children are listed.
tree=
set -- $roots
while [ "$#" -gt 0 ]; do
    process=$1
    shift
    kill -STOP "$process"
    while is_running "$process" && [ "$polls" -gt 0 ]; do polls=$((polls - 1)); done
    for list in "$proc/$process/task/"*/children; do
        children=
        read -r children <"$list"
        tree="$children $tree"
        set -- $children "$@"
    done
done

# From the leaves: the kernel may continue a stopped process whose parent dies.
for process in $tree; do kill -KILL "$process"; done
for root in $roots; do
    kill -KILL "-$root"
    kill -KILL "$root"
done
