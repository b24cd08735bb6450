# Every target does its own set-up: a virtual environment in .venv, and for the
# tests and benchmarks the Debian packages that the laboratory needs.

PYTHON ?= python3
BIN := .venv/bin

TUNNELS := iperf3 iperf3 wireguard-go wireguard-go wg wireguard-tools edge n2n tincd tinc openvpn openvpn

.PHONY: help demo test check unit lab bench-connect bench-net bench-start bench-pipe bench-send bench-talk packages clean

help:
	@echo "make demo           two cans on this machine find each other and talk"
	@echo "make test           everything: formatting, types, and the whole test suite"
	@echo "make bench-connect  how long connecting takes, against pypeer, through two NATs"
	@echo "make bench-net      how fast virtual networks are, against wireguard-go, n2n, tinc and OpenVPN"
	@echo "make bench-pipe     how fast pipes are, against openssl and socat, between two network namespaces"
	@echo "make bench-send     how fast files are, against magic-wormhole, on one LAN"
	@echo "make bench-talk     how calls sound and how late they are, against plain aiortc, in one sound room"
	@echo "make check          formatting and types only;  make unit  the quick tests only"

demo: .venv/run
	@$(BIN)/tin-can demo

# Three at a time: most of the tests wait for programs and networks, each in namespaces of its own. Sound is
# judged when nothing else runs: it has to come in time.
SOUND := tests/lab/voice tests/lab/test_soundroom.py

test: check packages
	$(BIN)/pytest -n 3 --dist loadgroup $(SOUND:%=--ignore=%)
	$(BIN)/pytest $(SOUND)

check: .venv/dev
	$(BIN)/ruff format --check src tests bench
	$(BIN)/ruff check src tests bench
	$(BIN)/mypy

unit: .venv/dev
	$(BIN)/pytest tests/unit

lab: .venv/dev packages
	$(BIN)/pytest tests/lab tests/security

# What is measured is compiled, as installing does it; a shell may tell Python not to.
COMPILE := $(BIN)/python -m compileall -q src

bench-connect: .venv/bench packages
	@$(COMPILE)
	$(BIN)/python -m bench.connect

bench-net: .venv/bench
	@sh tests/lab/packages.sh $(TUNNELS)
	@$(COMPILE)
	$(BIN)/python -m bench.net

bench-pipe: .venv/bench packages
	@$(COMPILE)
	$(BIN)/python -m bench.pipe

bench-send: .venv/bench packages
	@$(COMPILE)
	$(BIN)/python -m bench.send

bench-talk: .venv/bench-talk packages
	@$(COMPILE)
	$(BIN)/python -m bench.talk

# Versions are held by constraints.txt; the environment is made again when they change.
.venv/run: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "tin-can needs Python 3.11 or newer (PYTHON=...)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "installing tin-can into .venv ..."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

.venv/dev: .venv/run
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

.venv/bench: .venv/dev bench/requirements.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -r bench/requirements.txt
	@touch $@

# What scores voices is built from C, so only who wants that needs a compiler.
.venv/bench-talk: .venv/bench
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt pesq
	@touch $@

packages:
	@sh tests/lab/packages.sh

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis
