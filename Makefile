# The one interface to the project; .ci/run calls the same targets.
.PHONY: help build install plugin demo test lint long-test root-test bare-test model-test fault-test image release publish release-test chart-test plugin-test off-linux-test report-test e2e bench bench-copy bench-output fuzz

help:            ## list the targets
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 16

build:           ## the static binary, in target/
	@tests/preflight build
	@image/binary

# Where install puts things; DESTDIR stands before it all. BINARY installs one that is there.
PREFIX ?= /usr/local
install:         ## the binary, manual pages and completions, below PREFIX=/usr/local
	@[ -n "$(BINARY)" ] || tests/preflight build
	@set -e; program=$${BINARY:-$$(image/binary)}; share="$(DESTDIR)$(PREFIX)/share"; \
	install -D -m 0755 "$$program" "$(DESTDIR)$(PREFIX)/bin/hook-runner"; \
	install -d "$$share/man/man1" "$$share/bash-completion/completions" "$$share/zsh/site-functions" "$$share/fish/vendor_completions.d"; \
	"$$program" man "$$share/man/man1"; \
	"$$program" completions bash >"$$share/bash-completion/completions/hook-runner"; \
	"$$program" completions zsh >"$$share/zsh/site-functions/_hook-runner"; \
	"$$program" completions fish >"$$share/fish/vendor_completions.d/hook-runner.fish"; \
	echo "installed below $(DESTDIR)$(PREFIX)"

plugin:          ## kubectl-hook_log and the plugins of kubectl and Helm, in target/plugin/
	@set -e; program=$$(plugin/build); plugin/pack target/plugin "$$program" "$$(sed -n '/^\[package\]/,/^\[/s/^version = "\(.*\)"/\1/p' Cargo.toml)"; \
	echo "target/plugin/kubectl: put it into PATH; helm plugin install target/plugin/helm3/hook-log (or helm4)"

demo:            ## the reference hook on this machine: a success, a failure, a retry
	@tests/demo/run

test:            ## every test but the long ones; what cannot run on this machine is counted and named
	@tests/run everyday

lint:            ## formatting, lints, documentation, spelling, scripts, licences, advisories
	@tests/run lint

long-test:       ## the long tests: full disks, 500 kills, power cuts, 4 GiB of output, 50,000 histories, each system call (needs root; hours)
	@tests/run long
	@tests/model/check model $(or $(HISTORIES),50000)
	@tests/model/check kills 100000

root-test:       ## every test, the long ones too, as root and as the users that pods run as
	@tests/run root

bare-test:       ## make demo and make test in a Debian with only what the README installs (needs root)
	@tests/bare/run

.PHONY: manner-test kill-test peer-test crowd-test
model-test:      ## random histories of copies against a reference (HISTORIES=5000: more than 300)
	@tests/model/check model $(HISTORIES)

manner-test:     ## the same over each manner of volumes and each pair (needs root; HISTORIES=20: more of each)
	@tests/model/check manners $(HISTORIES)

kill-test:       ## copies and runs killed at system calls (CALLS=100000: at every one that changes something)
	@tests/model/check kills $(CALLS)

peer-test:       ## patterns, modes and odd trees beside git, chmod, cp and rsync
	@tests/model/check peers

crowd-test:      ## several copies and shards at once, some killed
	@tests/model/check crowds

fault-test:      ## what can happen to a volume and its logs, done (tests/faults)
	@tests/faults/check $(or $(CASES),200)

image:           ## the multi-arch image and its OCI archive
	@tests/preflight image
	@image/build

release:         ## everything that is published, in dist/: VERSION=… [IMAGE=registry/hook-runner]
	@tests/preflight release
	@IMAGE="$(IMAGE)" release/build "$(VERSION)"

publish:         ## publishes dist/: IMAGE=registry/hook-runner CHARTS=oci://registry/charts [COSIGN_KEY=…]
	@release/publish "$(IMAGE)" "$(CHARTS)"

release-test:    ## a release twice, published to a registry on loopback, pulled and rendered from there
	@tests/release/run

chart-test:      ## rendering, lint and unit tests of the charts
	@tests/preflight chart-test
	@tests/charts/run

plugin-test:     ## lints and tests of the plugin
	@tests/run plugin

off-linux-test:  ## the commands that read, as macOS and Windows have them; type-checks for both
	@tests/off_linux/run

report-test:     ## the HTML report in a real browser
	@tests/report/run

e2e:             ## a real Kubernetes with Helm 3 and Helm 4 (KUBECONFIG, or a cluster of its own)
	@tests/preflight e2e
	@tests/cluster/run

bench: bench-copy bench-output    ## both benchmarks

bench-copy:      ## the copy beside cp, rsync, cpz, xcp, fcp
	@tests/preflight bench
	python3 benches/copy $(ARGS)

bench-output: build    ## start-up and throughput beside tini, dumb-init, catatonit and tee
	cargo bench --bench output -- $(ARGS)

fuzz:            ## a minute of fuzzing the redaction (ARGS=-max_total_time=600: ten)
	@tests/preflight fuzz
	cargo +nightly fuzz run redact -- -max_total_time=60 $(ARGS)
