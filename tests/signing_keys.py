"""Key pairs for tests, made by the commands that the documentation gives."""

import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class KeyPair:
    private: Path
    public: Path


def write_key_pair(folder: Path, curve: str = "prime256v1") -> KeyPair:
    keys = KeyPair(folder / "private.pem", folder / "public.pem")
    _openssl("ecparam", "-name", curve, "-genkey", "-noout", "-out", str(keys.private))
    _openssl("ec", "-in", str(keys.private), "-pubout", "-out", str(keys.public))
    return keys


def _openssl(*arguments: str) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)
