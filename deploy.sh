#!/usr/bin/env bash
# deploy.sh --config FILE [--dry-run] [--from STEP] [--skip STEP]...
#
# Deploys exr-inspector as a VAST DataEngine function: checks the tools, the configuration and the endpoints, then takes
# the steps
#
#   build     the image, and what it says to --version
#   push      the image, to REGISTRY_HOST
#   function  created, or updated, and published: a new revision
#   trigger   created, or updated: objects of SOURCE_BUCKET that end with .exr
#   pipeline  created, or updated, with its settings and its secret, then deployed
#   doctor    in the image, with this configuration: is the database reachable, right, safe?
#   smoke     the image reads a file; the function in it gets ready
#
#   --config FILE  the settings; see .env.example. Read, never run
#   --dry-run      print each command, change nothing
#   --from STEP    take this step and all after it, also if they are done
#   --skip STEP    leave out this step, or "endpoints"
#   --help         this text
#
# A step that was done with the same settings and the same program is not taken again: FILE.state says which. So a run
# that stopped is resumed by running it again. What was said is in FILE.log. Secrets are in neither, nor in any
# command's arguments.
set -euo pipefail

readonly STEPS=(build push function trigger pipeline doctor smoke)
readonly REQUIRED=(REGISTRY_HOST REGISTRY_NAME SOURCE_BUCKET KUBERNETES_CLUSTER_VRN
    VAST_DB_ENDPOINT VAST_DB_ACCESS_KEY VAST_DB_SECRET_KEY VAST_DB_BUCKET S3_ENDPOINT)
readonly OF_DEPLOY=(REGISTRY_HOST REGISTRY_NAME IMAGE_REPOSITORY IMAGE_TAG FUNCTION_NAME FUNCTION_REVISION TRIGGER_NAME
    SOURCE_BUCKET NAME_PREFIX BROKER_NAME BROKER_TYPE TOPIC_NAME PIPELINE_NAME KUBERNETES_CLUSTER_VRN NAMESPACE
    SECRET_NAME FUNCTION_MIN_CPU FUNCTION_MAX_CPU FUNCTION_MIN_MEMORY FUNCTION_MAX_MEMORY FUNCTION_MIN_CONCURRENCY
    FUNCTION_MAX_CONCURRENCY FUNCTION_TIMEOUT)
readonly SECRETS=(VAST_DB_ACCESS_KEY VAST_DB_SECRET_KEY S3_ACCESS_KEY S3_SECRET_KEY)
# The function's own settings: docs/configuration.md. They become the pipeline's environment variables.
readonly OF_FUNCTION=(VAST_DB_ENDPOINT VAST_DB_BUCKET VAST_DB_SCHEMA VAST_DB_REGION VAST_DB_TIMEOUT_SECONDS
    VAST_DB_LOCK_SHARDS VAST_DB_SECRET_NAME S3_ENDPOINT S3_REGION S3_ANONYMOUS S3_TIMEOUT_SECONDS PERSIST_FAILURE
    EXR_INSPECTOR_ROOTS EXR_INSPECTOR_BUCKETS EXR_INSPECTOR_EVENT_ENDPOINTS EXR_INSPECTOR_MAX_HEADER_BYTES
    EXR_INSPECTOR_IN_FLIGHT_BYTES EXR_INSPECTOR_CONCURRENCY EXR_INSPECTOR_BATCH_FILES EXR_INSPECTOR_GRACE_SECONDS
    EXR_INSPECTOR_MAX_BODY_BYTES EXR_INSPECTOR_MAX_REQUESTS EXR_INSPECTOR_FUNCTION_NAME EXR_INSPECTOR_SECRETS)

top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
config='' is_dry='' from='' skipped=' ' step='' work='' smoke_container='' log=/dev/null
declare -A setting=()
hidden=()

# ---- What is said --------------------------------------------------------------------------------------------------

say() { printf '%s\n' "$*" | masked | tee -a "$log"; }
die() { printf 'deploy.sh: %s\n' "$*" | masked | tee -a "$log" >&2; exit "${status:-1}"; }
die_usage() { status=64 die "$* (--help says more)"; }
usage() { sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"; }

# Standard input without secrets, also as JSON writes them.
masked() {
    local line value
    while IFS= read -r line || [[ -n $line ]]; do
        for value in ${hidden[@]+"${hidden[@]}"}; do line=${line//"$value"/***}; done
        printf '%s\n' "$line"
    done
}

# A command as it could be typed.
shown() {
    local word words=()
    for word; do
        [[ $word != *$'\n'* ]] || word='(a program)'
        if [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ ]]; then words+=("$word"); else words+=("'${word//\'/\'\\\'\'}'"); fi
    done
    say "+ ${words[*]}"
}

# Shows a command and runs it; what it says is masked and logged.
run() {
    shown "$@"
    [[ -z $is_dry ]] || return 0
    "$@" 2>&1 | masked | tee -a "$log"
}

# Runs a quiet command, whose answer goes to standard output and whose complaints into the log.
ask() { "$@" 2> >(masked >> "$log"); }

# ---- Settings ------------------------------------------------------------------------------------------------------

is_among() { local wanted=$1 each; shift; for each; do [[ $each != "$wanted" ]] || return 0; done; return 1; }

# Lines of NAME=value, as docker takes them: the value is all that follows, nothing in it has a meaning.
read_config() {
    local line name value number=0 unknown=()
    while IFS= read -r line || [[ -n $line ]]; do
        number=$((number + 1))
        [[ $line != *$'\r' ]] || die "$config, line $number: it ends with a carriage return; lines must end as in Unix"
        [[ -n ${line//[[:space:]]/} && $line != '#'* ]] || continue
        [[ $line =~ ^([A-Za-z_][A-Za-z0-9_]*)=(.*)$ ]] || die "$config, line $number: not NAME=value"
        name=${BASH_REMATCH[1]} value=${BASH_REMATCH[2]}
        is_among "$name" "${OF_DEPLOY[@]}" "${SECRETS[@]}" "${OF_FUNCTION[@]}" || { unknown+=("$name"); continue; }
        [[ -z ${setting[$name]+is-set} ]] || die "$config, line $number: $name is set a second time"
        [[ ! $value =~ ^[\"\'].*[\"\']$ ]] || say "note: the quotes around $name's value are part of it"
        setting[$name]=$value
    done < "$config"
    hide_secrets
    ((${#unknown[@]} == 0)) || die "$config: not known: ${unknown[*]}"
}

hide_secrets() {
    local name value escaped
    for name in "${SECRETS[@]}"; do
        value=${setting[$name]-}
        [[ -n $value ]] || continue
        escaped=${value//\\/\\\\} escaped=${escaped//\"/\\\"}
        hidden+=("$escaped" "$value")
    done
    ((${#hidden[@]})) || return 0
    # The longest first: one may be a part of another.
    mapfile -t hidden < <(printf '%s\n' "${hidden[@]}" | awk '{ print length, $0 }' | sort -rn | cut -d ' ' -f 2-)
}

check_config() {
    local name missing=() keys=(S3_ACCESS_KEY S3_SECRET_KEY)
    [[ ! ${setting[S3_ANONYMOUS]-} =~ ^(1|true|yes|on)$ ]] || keys=()
    for name in "${REQUIRED[@]}" ${keys[@]+"${keys[@]}"}; do [[ -n ${setting[$name]-} ]] || missing+=("$name"); done
    ((${#missing[@]} == 0)) || die "$config: missing: ${missing[*]}"
    if [[ -n $(find -L "$config" -perm -o+r) ]]; then
        say "warning: everyone on this machine can read $config: chmod 600 $(printf '%q' "$config")"
    fi
    defaults
    for name in FUNCTION_NAME TRIGGER_NAME PIPELINE_NAME SECRET_NAME NAMESPACE; do
        require "$name" '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' 'small letters, digits and dashes, 63 at most'
    done
    require REGISTRY_HOST '^[A-Za-z0-9.-]+(:[0-9]+)?$' 'HOST or HOST:PORT'
    require IMAGE_REPOSITORY '^[a-z0-9]+([._/-][a-z0-9]+)*$' 'a path of small letters and digits'
    require IMAGE_TAG '^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$' 'letters, digits, dots and dashes'
    require SOURCE_BUCKET '^[A-Za-z0-9][A-Za-z0-9._-]*$' "a bucket's name"
    [[ -z ${setting[FUNCTION_REVISION]-} ]] || require FUNCTION_REVISION '^[1-9][0-9]*$' 'a number'
    for name in VAST_DB_ENDPOINT S3_ENDPOINT; do
        require "$name" '^https?://[^/@[:space:]]+/?$' 'http[s]://host[:port]'
    done
}

require() { [[ ${setting[$1]} =~ $2 ]] || die "$config: $1 must be $3"; }

# The tag names the very bytes that the image is built of: a function's revision is an image that never changes.
defaults() {
    local digest version
    digest=$(sources_digest)
    version=$(sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$top/exr_inspector/version.py")
    : "${setting[IMAGE_REPOSITORY]:=exr-inspector}" "${setting[IMAGE_TAG]:=${version:-0}-${digest:0:12}}"
    : "${setting[FUNCTION_NAME]:=exr-inspector}" "${setting[NAMESPACE]:=default}"
    : "${setting[TRIGGER_NAME]:=${setting[FUNCTION_NAME]}-trigger}"
    : "${setting[PIPELINE_NAME]:=${setting[FUNCTION_NAME]}-pipeline}"
    : "${setting[SECRET_NAME]:=${setting[FUNCTION_NAME]}-secret}"
    image=${setting[REGISTRY_HOST]}/${setting[IMAGE_REPOSITORY]}:${setting[IMAGE_TAG]}
    fingerprint=$({ printf '%s\n' "$digest"; cat "$config"; } | digest_of_input)
}

digest_of_input() { if command -v sha256sum > /dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }

sources_digest() {
    local files
    cd "$top"
    mapfile -d '' -t files < <(find Dockerfile .dockerignore pyproject.toml README.md LICENSE exr_inspector -type f \
        ! -name '*.py[co]' -print0 | LC_ALL=C sort -z)
    [[ ! -f constraints.txt ]] || files+=(constraints.txt)
    { printf '%s\0' "${files[@]}"; cat "${files[@]}"; } | digest_of_input
}

check_tools() {
    local tool missing=()
    for tool in docker vastde python3; do command -v "$tool" > /dev/null || missing+=("$tool"); done
    ((${#missing[@]} == 0)) || die "these commands are not on the PATH: ${missing[*]}"
}

# ---- Python, for what bash is not made for. Each reads NAME=value lines from its input. -----------------------------

# Whether something answers HTTP at each endpoint, whatever it answers: keys are doctor's matter.
readonly ASK_ENDPOINTS='
import http.client, sys, urllib.parse
failures = 0
for line in sys.stdin:
    name, _, url = line.rstrip("\n").partition("=")
    parts = urllib.parse.urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(parts.hostname, parts.port, timeout=10)
        connection.request("HEAD", "/")
        print(f"{name}: answers with {connection.getresponse().status}")
    except (OSError, ValueError, http.client.HTTPException) as error:
        failures += 1
        reason = getattr(error, "strerror", None) or type(error).__name__
        print(f"{name}: no answer: {reason}")
sys.exit(1 if failures else 0)
'

# The manifest and the secret, as `vastde pipelines create --config --secret-file` reads them. Arguments: both paths.
readonly WRITE_PIPELINE='
import json, sys
kinds = {"deploy": {}, "plain": {}, "secret": {}}
for line in sys.stdin.buffer.read().decode().split("\n")[:-1]:
    name, _, value = line.partition("=")
    kind, _, name = name.partition(":")
    kinds[kind][name] = value
deploy = kinds["deploy"]
place = {"kubernetes_cluster_vrn": deploy["KUBERNETES_CLUSTER_VRN"], "namespace": deploy["NAMESPACE"]}
function, trigger, secret = deploy["FUNCTION_NAME"], deploy["TRIGGER_NAME"], deploy["SECRET_NAME"]
link = {"source": [trigger], "destination": [function]}
if deploy.get("BROKER_NAME") and deploy.get("TOPIC_NAME"):
    link["topic"] = "vast:dataengine:topics:" + deploy["BROKER_NAME"] + "/" + deploy["TOPIC_NAME"]
deployment = {
    "name": function,
    "function_vrn": "vast:dataengine:functions:" + function,
    "revision": int(deploy["REVISION"]),
}
wanted = [one + "_" + of for of in ("cpu", "memory", "concurrency") for one in ("min", "max")] + ["timeout"]
values = {name: deploy.get("FUNCTION_" + name.upper(), "") for name in wanted}
resources = {name: int(value) if value.isdigit() else value for name, value in values.items() if value}
if resources:
    deployment["resources"] = resources
manifest = {
    "config": {
        "environment_variables": [{"name": name, "value": value} for name, value in kinds["plain"].items()],
        "secrets": [secret],
    },
    "triggers": [{"name": trigger, "vrn": "vast:dataengine:triggers:" + trigger}],
    "function_deployments": [deployment],
    "links": [link],
}
pipeline = {"name": deploy["PIPELINE_NAME"], **place, "manifest": manifest}
entries = [{"key": name, "value": value} for name, value in kinds["secret"].items()]
for path, content in zip(sys.argv[1:], (pipeline, {"name": secret, **place, "entries": entries})):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
'

# The number of the newest revision that has the image tag given, of what `vastde functions get --with-revisions
# --output json` says; nothing if there is none.
readonly FIND_REVISION='
import json, sys
tag, revisions = sys.argv[1], json.load(sys.stdin).get("revisions") or []
right = [each for each in revisions if each.get("image_tag") == tag and each.get("is_published", True)]
print(max((each["revision_number"] for each in right), default=""))
'

# In the container: waits until the function is ready.
readonly ASK_READINESS='
import http.client, sys, time
for _ in range(60):
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=5)
        connection.request("GET", "/readiness")
        answer = connection.getresponse()
        said = answer.read().decode()
        if answer.status == 200:
            print("readiness:", said)
            sys.exit(0)
    except OSError as error:
        said = str(error)
    time.sleep(0.5)
sys.exit("not ready within 30 s: " + said)
'

# ---- Steps ---------------------------------------------------------------------------------------------------------

check_endpoints() {
    say '== endpoints'
    shown vastde functions list
    say '+ an HTTP request to VAST_DB_ENDPOINT and S3_ENDPOINT'
    [[ -z $is_dry ]] || return 0
    ask vastde functions list > /dev/null ||
        die "vastde cannot list functions: is it set up (vastde config init)? See $log"
    printf '%s=%s\n' VAST_DB_ENDPOINT "${setting[VAST_DB_ENDPOINT]}" S3_ENDPOINT "${setting[S3_ENDPOINT]}" |
        python3 -c "$ASK_ENDPOINTS" | masked | tee -a "$log"
}

step_build() {
    run docker build --platform linux/amd64 --tag "$image" "$top"
    run docker run --rm "$image" --version
}

step_push() { run docker push "$image"; }

# exists functions NAME: whether there is one. Where vastde says no, a list tells "no such thing" from "no answer".
exists() {
    if ask vastde "$1" get "$2" --output json > "$work/found.json"; then return 0; fi
    ask vastde "$1" list > /dev/null || die "vastde can neither get $2 nor list $1; see $log"
    return 1
}

# Shows, in a dry run, both ways; else takes the one that fits. create and update are arrays of the caller's.
create_or_update() {
    shown vastde "$1" get "$2"
    if [[ -n $is_dry ]]; then
        say '  if there is one:'; run "${update[@]}"
        say '  if there is none:'; run "${create[@]}"
    elif exists "$1" "$2"; then
        run "${update[@]}"
    else
        run "${create[@]}"
    fi
}

step_function() {
    local name=${setting[FUNCTION_NAME]} number='' create update flags
    flags=(--container-registry "${setting[REGISTRY_NAME]}" --artifact-source "${setting[IMAGE_REPOSITORY]}"
        --artifact-type image --image-tag "${setting[IMAGE_TAG]}" --publish)
    create=(vastde functions create --name "$name" "${flags[@]}")
    update=(vastde functions update "$name" "${flags[@]}")
    [[ -n $is_dry ]] || number=$(revision)
    if [[ -n $number ]]; then say "revision $number of $name has the tag ${setting[IMAGE_TAG]} already"; return; fi
    create_or_update functions "$name"
}

# The revision that the pipeline is to run; nothing if there is none yet.
revision() {
    if [[ -n ${setting[FUNCTION_REVISION]-} ]]; then echo "${setting[FUNCTION_REVISION]}"; return; fi
    ask vastde functions get "${setting[FUNCTION_NAME]}" --with-revisions --output json > "$work/function.json" ||
        return 0
    ask python3 -c "$FIND_REVISION" "${setting[IMAGE_TAG]}" < "$work/function.json"
}

step_trigger() {
    local name=${setting[TRIGGER_NAME]} create update
    create=(vastde triggers create element --name "$name" --event 'ObjectCreated:*'
        --source-bucket "${setting[SOURCE_BUCKET]}" --name-suffix .exr)
    update=(vastde triggers update "$name" --events 'ObjectCreated:*'
        --source-bucket "${setting[SOURCE_BUCKET]}" --name-suffix .exr)
    with_option NAME_PREFIX --name-prefix --name-prefix
    with_option BROKER_NAME --broker-name --broker-name
    with_option BROKER_TYPE --broker-type --broker-type
    with_option TOPIC_NAME --topic-name --topic
    create_or_update triggers "$name"
}

# with_option SETTING CREATE_FLAG UPDATE_FLAG
with_option() {
    [[ -n ${setting[$1]-} ]] || return 0
    create+=("$2" "${setting[$1]}")
    update+=("$3" "${setting[$1]}")
}

step_pipeline() {
    local name=${setting[PIPELINE_NAME]} create update number files
    files=(--config "$work/pipeline.json" --secret-file "$work/secret.json")
    create=(vastde pipelines create --name "$name" "${files[@]}")
    update=(vastde pipelines update "$name" "${files[@]}")
    if [[ -z $is_dry ]]; then
        number=$(revision) || number=''
        [[ -n $number ]] || die "no published revision of ${setting[FUNCTION_NAME]} has the tag" \
            "${setting[IMAGE_TAG]}; if vastde functions get --with-revisions shows one, name it as" \
            "FUNCTION_REVISION in $config"
        values "$number" | ask python3 -c "$WRITE_PIPELINE" "$work/pipeline.json" "$work/secret.json"
    fi
    create_or_update pipelines "$name"
    run vastde pipelines deploy "$name"
}

# Every setting, one a line, with its kind. Secrets go this way only: from bash's memory into a pipe.
values() {
    printf 'deploy:REVISION=%s\n' "$1"
    values_of deploy "${OF_DEPLOY[@]}"
    values_of plain "${OF_FUNCTION[@]}"
    values_of secret "${SECRETS[@]}"
}

values_of() {
    local kind=$1 name
    shift
    for name; do [[ -z ${setting[$name]-} ]] || printf '%s:%s=%s\n' "$kind" "$name" "${setting[$name]}"; done
}

step_doctor() { run docker run --rm --env-file "$config" "$image" doctor --create; }

step_smoke() {
    local file=$top/fixtures/real/rich.exr
    say "+ docker run --rm --interactive $image inspect --compact - < $file"
    if [[ -z $is_dry ]]; then
        docker run --rm --interactive "$image" inspect --compact - < "$file" 2> >(masked >> "$log") |
            python3 -c 'import json, sys; print("read:", json.load(sys.stdin)["integrity"]["status"])' | tee -a "$log"
    fi
    smoke_container=exr-inspector-smoke-$$
    run docker run --detach --name "$smoke_container" --env-file "$config" "$image"
    run docker exec "$smoke_container" python -c "$ASK_READINESS"
    run docker stop --time 20 "$smoke_container"
    run docker rm "$smoke_container"
    smoke_container=''
}

what_next() {
    say "
Done. Upload an EXR to the bucket ${setting[SOURCE_BUCKET]}, then:
  vastde logs tail ${setting[PIPELINE_NAME]} --function ${setting[FUNCTION_NAME]} --since 10m
The rows: docs/QUICK_START_VAST.md. Watching, scaling, rolling back: docs/PROD_RUNBOOK.md"
}

# ---- What is done already ------------------------------------------------------------------------------------------

# The state is the fingerprint of settings and program, and a line for each step done with them.
open_state() {
    state=$config.state
    if [[ ! -f $state || $(head -n 1 "$state") != "$fingerprint" ]]; then printf '%s\n' "$fingerprint" > "$state"; fi
}

is_done() { [[ -f ${state-} ]] && grep -qxF "$1" "$state"; }

take_steps() {
    local is_forced=''
    for step in "${STEPS[@]}"; do
        [[ $step != "$from" ]] || is_forced=1
        if [[ $skipped == *" $step "* ]]; then say "== $step: left out"; continue; fi
        if [[ -z $is_forced && -z $is_dry ]] && is_done "$step"; then say "== $step: done before"; continue; fi
        say "== $step"
        "step_$step"
        [[ -n $is_dry ]] || is_done "$step" || printf '%s\n' "$step" >> "$state"
    done
    step=''
}

finish() {
    local status=$?
    trap - EXIT
    if [[ -n $smoke_container && -z $is_dry ]]; then
        docker logs "$smoke_container" 2>&1 | masked | tee -a "$log" || true
        docker rm --force "$smoke_container" > /dev/null 2>&1 || true
    fi
    [[ -z $work ]] || rm -rf "$work"
    if ((status != 0)) && [[ -n $step ]]; then
        printf 'deploy.sh: stopped in the step "%s"; run it again to go on there. What was said: %s\n' \
            "$step" "$log" >&2
    fi
    exit "$status"
}

# ---- Arguments -----------------------------------------------------------------------------------------------------

main() {
    local image='' fingerprint='' state=''
    while (($#)); do
        case $1 in
            --config) config=${2-}; shift ;;
            --from) from=${2-}; is_among "$from" "${STEPS[@]}" || die_usage "--from takes one of: ${STEPS[*]}"; shift ;;
            --skip)
                is_among "${2-}" endpoints "${STEPS[@]}" || die_usage "--skip takes one of: endpoints ${STEPS[*]}"
                skipped+="$2 "; shift ;;
            --dry-run) is_dry=1 ;;
            --help | -h) usage; exit 0 ;;
            *) die_usage "not known: $1" ;;
        esac
        shift
    done
    [[ -n $config ]] || die_usage '--config FILE is missing'
    [[ -f $config && -r $config ]] || die_usage "cannot read $config"

    umask 077
    exec < /dev/null  # no command waits for an answer
    trap finish EXIT
    work=$(mktemp -d)
    read_config
    [[ -n $is_dry ]] || { log=$config.log; printf '\n== %s\n' "$(date -u '+%Y-%m-%dT%H:%M:%SZ')" >> "$log"; }
    [[ -n $is_dry ]] || check_tools
    check_config
    say "image $image"
    [[ $skipped == *' endpoints '* ]] || check_endpoints
    [[ -n $is_dry ]] || open_state
    take_steps
    [[ -n $is_dry ]] || what_next
}

((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] >= 404)) || { echo 'deploy.sh: bash 4.4 or newer is needed' >&2; exit 1; }
main "$@"
