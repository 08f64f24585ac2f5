# Ends the turns of a program that is gone without having ended them; see watchdog.rs.
#
# Standard input is a pipe whose other end the program alone holds. It says `+ PID:START` when the
# process of a turn has started and `- PID:START` when it is over, START being what field 22 of
# /proc/PID/stat says, or nothing. The end of the input is the end of the program. The builtins of the
# shell do it all: nothing else need be there, and nothing is started.

program=$1
trap '' HUP INT QUIT TERM
# What the program was started with and does not know of.
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-

running=' '
while read -r sign process; do
    case $sign in
        +) running="$running$process " ;;
        -) running="${running%%" $process "*} ${running#*" $process "}" ;;
    esac
done

# Where /proc is missing, or numbers processes in another way, there are only the process groups.
proc=/proc
read -r self rest </proc/self/stat
[ "$self" = "$$" ] || proc=/dev/null

# How often something is looked at again, all in all: a fraction of a second.
patience=500

# Reads the state, the parent and the start of a process or thread, which stand behind its name.
look() {
    read -r stat <"$1/stat" || return
    set -- ${stat##*") "}
    state=$1 parent=$2 start=${20}
}

# Whether the program is still on its way out. The system then continues what it finds stopped.
lingers() {
    look "$proc/$$" && [ "$parent" = "$program" ]
}

# Whether a thread of a process runs on; one may be in the middle of starting a child.
runs() {
    for thread in "$proc/$1/task/"*; do
        look "$thread" || continue
        case $state in T | t | Z | X) ;; *) return 0 ;; esac
    done
    return 1
}

while lingers && [ "$patience" -gt 0 ]; do patience=$((patience - 1)); done

roots=
for process in $running; do
    root=${process%%:*}
    # Another start: the number is a stranger's by now.
    if look "$proc/$root" && [ "$start" != "${process#*:}" ]; then continue; fi
    kill -STOP "$root"
    roots="$roots $root"
done

# From the top, each stopped before its children are listed.
tree=
set -- $roots
while [ "$#" -gt 0 ]; do
    process=$1
    shift
    kill -STOP "$process"
    while runs "$process" && [ "$patience" -gt 0 ]; do patience=$((patience - 1)); done
    for list in "$proc/$process/task/"*/children; do
        children=
        read -r children <"$list"
        tree="$children $tree"
        set -- $children "$@"
    done
done

# From the leaves: what is stopped and loses its parent may be continued.
for process in $tree; do kill -KILL "$process"; done
for root in $roots; do
    kill -KILL "-$root"
    kill -KILL "$root"
done
