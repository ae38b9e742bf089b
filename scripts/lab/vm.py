"""The soft-RoCE lab's virtual machine: Debian's kernel under QEMU on a copy-on-write view of this machine's files.

QEMU is started directly rather than through virtme-ng, whose idea this is: a kernel unpacked beforehand, an
initramfs of a dozen modules and no udev boot in about half the time under emulation, which is what most
machines that need the lab have. The guest side is init (initramfs) and guest (on the root file system), beside
this file.
"""

import glob
import gzip
import lzma
import os
import re
import selectors
import shlex
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
REPO = os.path.dirname(os.path.dirname(HERE))
TARGET = os.path.join(REPO, "target")
CACHE = os.path.join(TARGET, "soft-roce")

# Modules that init loads: for the root file system, for the ports that carry the output, and soft-RoCE.
MODULES = [
    "virtio_pci", "9pnet_virtio", "9p", "overlay", "virtio_console", "virtio_net", "dummy", "rdma_rxe", "rdma_ucm", "ib_uverbs",
]
# Measured under emulation: leaving mitigations out saves a tenth of the boot; tsc=reliable keeps the clock readable
# without leaving the guest, where it would fall back to hpet.
KERNEL_OPTIONS = (
    "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable random.trust_cpu=on audit=0 apparmor=0 cryptomgr.notests "
    "net.ifnames=0"
)
KVM_PROBE_SECONDS = 12
KEPT_VARIABLES = re.compile(
    r"(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_.*|TZ|TERM|VIRTUAL_ENV|(CARGO|RUST|NEXTEST|VERBENA|PYTHON|PYTEST|PYENV)(_?[A-Z0-9_]*))$"
)
# A command's status when its VM died: the one that a shell reports for a process killed by SIGKILL.
HOST_DIED = 137
TIMED_OUT = 124


class LabError(Exception):
    """The lab cannot run; the text says why and what to do."""


def say(text):
    print(f"soft-roce: {text}", file=sys.stderr, flush=True)


def cache():
    os.makedirs(CACHE, exist_ok=True)
    return CACHE


# --- The kernel and its initramfs, made once per kernel and kept in target/soft-roce/ ---


def newest_kernel():
    """(path of the boot image, version) of the newest kernel that has rdma_rxe."""
    def order(version):
        return [int(n) for n in re.findall(r"\d+", version)]

    found = []
    for image in glob.glob("/boot/vmlinuz-*"):
        version = image.removeprefix("/boot/vmlinuz-")
        if glob.glob(f"/lib/modules/{version}/kernel/drivers/infiniband/sw/rxe/rdma_rxe.ko*"):
            found.append((order(version), image, version))
    if not found:
        raise LabError("no kernel in /boot has the module rdma_rxe; 'scripts/setup test' installs Debian's")
    _, image, version = max(found)
    if not os.access(image, os.R_OK):
        raise LabError(f"{image} cannot be read by this user; run as root, or 'sudo chmod a+r {image}'")
    return image, version


def unpacked_kernel(image, version):
    """Path of the kernel's ELF image: emulated, unpacking it at each boot takes seconds."""
    path = os.path.join(CACHE, f"vmlinux-{version}")
    if os.path.exists(path) and os.path.getmtime(path) > os.path.getmtime(image):
        return path
    with open(image, "rb") as file:
        packed = file.read()
    # Linux x86 boot protocol: setup sectors at 0x1f1, the payload's offset and length at 0x248.
    start = (packed[0x1F1] + 1) * 512 + struct.unpack_from("<I", packed, 0x248)[0]
    payload = packed[start : start + struct.unpack_from("<I", packed, 0x24C)[0]]
    if payload.startswith(b"\xfd7zXZ"):
        elf = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(b"\x1f\x8b"):
        elf = gzip.decompress(payload[:-4])
    else:
        return image  # another compression: QEMU boots the packed image too, only slower
    write_whole(path, elf)
    return path


def initramfs(version):
    path = os.path.join(CACHE, f"initramfs-{version}")
    init = os.path.join(HERE, "init")
    newest = max(os.path.getmtime(source) for source in (init, __file__))
    if os.path.exists(path) and os.path.getmtime(path) > newest:
        return path
    busybox = shutil.which("busybox")
    if not busybox:
        raise LabError("busybox is missing; 'scripts/setup test' installs busybox-static")
    with tempfile.TemporaryDirectory() as root:
        tree = f"{root}/lib/modules/{version}"
        for folder in (f"{root}/bin", tree):
            os.makedirs(folder)
        shutil.copy(busybox, f"{root}/bin/busybox")
        shutil.copy(init, f"{root}/init")
        for source in module_files(version):
            unpack_module(source, tree)
        subprocess.run([tool("depmod"), "-b", root, version], check=True, capture_output=True)
        files = subprocess.run(["find", "."], cwd=root, check=True, capture_output=True).stdout
        archive = subprocess.run(
            [busybox, "cpio", "-o", "-H", "newc"], cwd=root, input=files, check=True, capture_output=True
        ).stdout
    write_whole(path, archive)
    return path


def module_files(version):
    """The modules and what they need, each once."""
    needed = subprocess.run(
        [tool("modprobe"), "-S", version, "-a", "--show-depends", *MODULES], check=True, capture_output=True, text=True
    ).stdout
    return {line.split()[1] for line in needed.splitlines() if line.startswith("insmod ")}


def unpack_module(source, folder):
    plain, packing = re.fullmatch(r"(.*\.ko)(\.\w+)?", os.path.basename(source)).groups()
    opener = {None: open, ".xz": lzma.open, ".gz": gzip.open}.get(packing)
    if not opener:
        raise LabError(f"{source} is packed in a way that this program cannot unpack")
    with opener(source, "rb") as packed, open(os.path.join(folder, plain), "wb") as file:
        shutil.copyfileobj(packed, file)


def tool(name):
    """An administrator's tool, which an ordinary user's PATH may not reach."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if not path:
        raise LabError(f"{name} is missing; 'scripts/setup test' installs it")
    return path


def write_whole(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    part = f"{path}.{os.getpid()}"
    with open(part, "wb") as file:
        file.write(data)
    os.rename(part, path)


# --- QEMU ---


def qemu_base(kernel, initrd, kvm, cpus, memory, options=""):
    qemu = shutil.which("qemu-system-x86_64")
    if not qemu:
        raise LabError("qemu-system-x86_64 is missing; 'scripts/setup test' installs it")
    accelerator = ["-accel", "kvm", "-cpu", "host"] if kvm else ["-accel", "tcg,thread=multi", "-cpu", "max,la57=off"]
    return [
        # Not even a killed caller leaves a VM behind.
        "setpriv", "--pdeathsig", "KILL", qemu, "-nodefaults", "-no-user-config", "-no-reboot", "-display", "none",
        "-M", "pc", *accelerator, "-smp", str(cpus), "-m", memory, "-kernel", kernel, "-initrd", initrd,
        "-append", f"{KERNEL_OPTIONS} {options}",
    ]


def kvm_works(kernel, initrd):
    """Whether KVM boots this kernel here: /dev/kvm may be there and still not. Asked once, then kept."""
    with open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        here = f"{file.read().strip()} {os.path.basename(kernel)} {os.geteuid()}"
    answer_file = os.path.join(CACHE, "kvm")
    try:
        with open(answer_file, encoding="utf-8") as file:
            known, _, answer = file.read().strip().rpartition(" ")
            if known == here:
                return answer == "yes"
    except OSError:
        pass
    answer = False
    if os.access("/dev/kvm", os.R_OK | os.W_OK):
        say(f"trying KVM, for {KVM_PROBE_SECONDS} s at most")
        command = qemu_base(kernel, initrd, True, 1, "512M", "lab.probe") + ["-serial", "stdio"]
        try:
            ran = subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, timeout=KVM_PROBE_SECONDS, check=False
            )
            answer = b"this kernel boots" in ran.stdout
        except subprocess.TimeoutExpired:
            pass
    write_whole(answer_file, f"{here} {'yes' if answer else 'no'}\n".encode())
    return answer


class Machine:
    """One VM running one command. `code` is None until the command has ended or the VM has died."""

    def __init__(self, command, *, name, kvm, cpus, memory, netdev, address, variables, shares,
                 wire=None, mac=None):
        self.name = name
        self.code = None
        self.died = False
        self.trouble = None
        self.stopped = False
        self.prefix = ""
        self.booted_after = None
        self._status = b""
        self._line = {}
        self.folder = tempfile.mkdtemp(prefix=f"{name}-", dir=cache())
        # A caller that sends both to one place wants them in the order they were written.
        out, err = os.fstat(1), os.fstat(2)
        self.merge = (out.st_dev, out.st_ino) == (err.st_dev, err.st_ino)
        self._write_folder(command, netdev, address, variables, shares)

        image, version = newest_kernel()
        kernel, initrd = unpacked_kernel(image, version), initramfs(version)
        qemu = qemu_base(kernel, initrd, kvm, cpus, memory, "lab.modules=virtio_net" if wire else "")
        qemu += ["-serial", f"file:{self.folder}/console", "-device", "virtio-serial-pci"]
        qemu += nine_share("root", "/", readonly=True) + nine_share("run", self.folder)
        for tag, path in shares_tags(shares):
            qemu += nine_share(tag, path)
        self.streams, inside = {}, []
        for port in ("out", "status") if self.merge else ("out", "err", "status"):
            ours, theirs = socket.socketpair()
            self.streams[ours] = port
            inside.append(theirs)
            qemu += ["-chardev", f"socket,id={port},fd={theirs.fileno()}",
                     "-device", f"virtserialport,name={port},chardev={port}"]
        fds = [end.fileno() for end in inside]
        if wire:
            qemu += ["-netdev", f"socket,id=net,fd={wire.fileno()}",
                     "-device", f"virtio-net-pci,netdev=net,mac={mac},romfile="]
            fds.append(wire.fileno())
        self.started = time.monotonic()
        with open(f"{self.folder}/qemu", "wb") as log:
            self.qemu = subprocess.Popen(
                qemu, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=fds,
                start_new_session=True,  # Ctrl-C must reach this program alone, which then ends the VM
            )
        for theirs in inside:
            theirs.close()

    def _write_folder(self, command, netdev, address, variables, shares):
        def put(name, text):
            with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
                file.write(text)

        put("start", f"NETDEV={netdev} ADDRESS={address} HOST_NAME={self.name} MERGE_OUTPUT={int(self.merge)}\n"
                     f"LAB={shlex.quote(HERE)}\nexport PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n"
                     f". {shlex.quote(os.path.join(HERE, 'guest'))}\n")
        put("shares", "".join(f"{tag} {path}\n" for tag, path in shares_tags(shares)))
        exports = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        put("command", f"{exports}cd {shlex.quote(os.getcwd())} || exit 126\nexec {shlex.join(command)}\n")

    def receive(self, stream):
        """Takes what one of the VM's ports has; False when it has closed."""
        try:
            data = stream.recv(65536)
        except ConnectionResetError:
            data = b""
        port = self.streams[stream]
        if port == "status":
            self._status += data
        else:
            self._pass_on(port, data)
        return bool(data)

    def _pass_on(self, port, data):
        if self.booted_after is None and data:
            self.booted_after = time.monotonic() - self.started
        if self.prefix:  # whole lines, each with its machine's name
            text = self._line.get(port, b"") + data
            whole, newline, rest = text.rpartition(b"\n")
            if not data:
                whole, newline, rest = text, b"\n" if text else b"", b""
            self._line[port] = rest
            data = b"".join(self.prefix.encode() + line for line in (whole + newline).splitlines(True)) if newline else b""
        file = sys.stderr.buffer if port == "err" else sys.stdout.buffer
        file.write(data)
        file.flush()

    def poll_status(self):
        """Takes the status if it is there, or the VM's death; True when the command is over either way."""
        if self.code is not None:
            return True
        if self._status.endswith(b"\n"):
            word, _, rest = self._status.decode().strip().partition(" ")
            if word == "exit":
                self.code = int(rest)
            else:
                self.trouble = rest
                self.code = HOST_DIED
            return True
        if self.qemu.poll() is not None:
            self.died, self.code = True, HOST_DIED
            return True
        return False

    def ask_to_stop(self):
        self.stopped = True
        with open(os.path.join(self.folder, "stop"), "w", encoding="utf-8"):
            pass

    def kill(self):
        """Ends the VM as a power cut would."""
        if self.qemu.poll() is None:
            self.qemu.kill()
        self.qemu.wait()

    def last_words(self):
        text = ""
        for name in ("qemu", "console"):
            try:
                with open(os.path.join(self.folder, name), encoding="utf-8", errors="replace") as file:
                    text += file.read().replace("\0", "")
            except OSError:
                pass
        return [line for line in text.splitlines() if line.strip()][-20:]

    def clean(self):
        self.kill()
        for stream in self.streams:
            stream.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def nine_share(tag, path, readonly=False):
    fsdev = f"local,id={tag},path={path.replace(',', ',,')},security_model=none,multidevs=remap"
    return ["-fsdev", fsdev + (",readonly=on" if readonly else ""),
            "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]


def shares_tags(shares):
    return [(f"rw{i}", path) for i, path in enumerate(shares)]


def kept_environment(**more):
    kept = {name: value for name, value in os.environ.items() if KEPT_VARIABLES.match(name)}
    return kept | more


def run_machines(machines, timeout, on_tick=lambda: None):
    """Streams the machines' output until every command is over; False when the time ran out first."""
    end = time.monotonic() + timeout
    selector = selectors.DefaultSelector()
    for machine in machines:
        for stream in machine.streams:
            selector.register(stream, selectors.EVENT_READ, machine)

    def pump(wait):
        for key, _ in selector.select(wait):
            if not key.data.receive(key.fileobj):
                selector.unregister(key.fileobj)

    while True:
        over = [machine.poll_status() for machine in machines]
        on_tick()
        if all(over):
            break
        if time.monotonic() >= end:
            return False
        pump(0.1)
    drain = time.monotonic() + 1
    while time.monotonic() < drain and selector.get_map():
        if not selector.select(0):
            break
        pump(0)
    return True


def end_on_signals():
    def stop(number, _frame):
        raise SystemExit(128 + number)

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
