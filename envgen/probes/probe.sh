# Clients that are programs: sh probe.sh CLIENT version, or sh probe.sh CLIENT get URL...
# The current folder is empty, in memory, and goes with the clients.
client=$1
what=$2
shift 2

# The first number with a dot in what the client says.
number() {
	"$@" 2>/dev/null </dev/null | grep -o '[0-9][0-9]*\.[0-9][-0-9A-Za-z.+]*' | head -n 1 | grep .
}

each() {
	for url; do
		once "$url"
	done
}

case $client:$what in
curl:version) number curl --version ;;
curl:get) curl -s -m 5 "$@" >/dev/null ;;

wget:version) number wget --version ;;
wget:get) wget -q --no-hsts -T 5 -t 1 -O /dev/null "$@" ;;

# Before 2.0 it speaks TLS with the proxy itself, and never asks it for a tunnel.
wget2:version)
	version=$(number wget2 --version) || exit 1
	case $version in
	1.*) echo "$version http" ;;
	*) echo "$version" ;;
	esac
	;;
wget2:get) wget2 -q --no-hsts --no-ocsp --no-tls-session-file -T 5 --tries=1 --no-robots -O /dev/null "$@" ;;

aria2:version) number aria2c --version ;;
aria2:get) aria2c -q -t 5 --connect-timeout=5 -m 1 --async-dns=false -Z "$@" ;;

git:version) number git --version ;;
git:get)
	GIT_TERMINAL_PROMPT=0
	export GIT_TERMINAL_PROMPT
	once() { git -c http.lowSpeedLimit=1 -c http.lowSpeedTime=5 ls-remote "$1"; }
	each "$@"
	;;

# One after the other, whatever the ones before said.
go:version)
	XDG_CONFIG_HOME=$PWD/go/config
	export XDG_CONFIG_HOME
	number go version
	;;
go:get)
	proxies=
	for url; do
		proxies="$proxies${proxies:+|}$url"
	done
	GOPROXY=$proxies GOSUMDB=off GONOPROXY=none GOPRIVATE='' GOFLAGS=-modcacherw GOTOOLCHAIN=local GO111MODULE=on GOWORK=off
	GOPATH=$PWD/go GOMODCACHE=$PWD/go/mod GOCACHE=$PWD/go/cache XDG_CONFIG_HOME=$PWD/go/config
	export GOPROXY GOSUMDB GONOPROXY GOPRIVATE GOFLAGS GOTOOLCHAIN GO111MODULE GOWORK GOPATH GOMODCACHE GOCACHE XDG_CONFIG_HOME
	mkdir module && cd module && echo 'module verify.test/here' >go.mod
	go list -m -versions verify.test/there
	;;

pip:version) number pip --version ;;
pip:get)
	trusted= more=
	for url; do
		host=${url#*://}
		trusted="$trusted ${host%%/*}"
		more="$more $url"
	done
	PIP_INDEX_URL=$1 PIP_EXTRA_INDEX_URL=${more#" $1"} PIP_TRUSTED_HOST=$trusted PIP_RETRIES=0 PIP_TIMEOUT=5
	PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
	export PIP_INDEX_URL PIP_EXTRA_INDEX_URL PIP_TRUSTED_HOST PIP_RETRIES PIP_TIMEOUT
	export PIP_NO_CACHE_DIR PIP_DISABLE_PIP_VERSION_CHECK PIP_NO_INPUT
	pip download -q --no-deps -d . keystile-verify
	;;

npm:version) npm --version 2>/dev/null </dev/null | grep . ;;
npm:get)
	once() {
		npm view keystile-verify --registry="$1/" --cache="$PWD/npm" --logs-max=0 --fetch-retries=0 --fetch-timeout=5000 \
			--no-update-notifier --silent
	}
	each "$@"
	;;

apt:version) number apt-get --version ;;
apt:get)
	mkdir -p apt/lists/partial apt/cache/archives/partial
	for url; do
		echo "deb [trusted=yes] $url ./"
	done >apt/sources.list
	apt-get update -q -o "Dir::Etc::SourceList=$PWD/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
		-o "Dir::State=$PWD/apt" -o "Dir::State::Lists=$PWD/apt/lists" -o "Dir::Cache=$PWD/apt/cache" \
		-o Dir::State::Status=/dev/null -o APT::Sandbox::User= -o Acquire::Retries=0 -o Acquire::Languages=none \
		-o Acquire::http::Timeout=5 -o Acquire::https::Timeout=5 -o APT::Update::Post-Invoke::= \
		-o APT::Update::Post-Invoke-Success::=
	;;
*) exit 1 ;;
esac
