"""Contents of files that hold no JSON object, by what is wrong with them."""

DEEP = 100_000
NO_OBJECTS = {
    "empty": b"",
    "cut": b'{"a": ',
    "open": b"{",
    "list": b"[]",
    "number": b"3",
    "text": b'"{}"',
    "null": b"null",
    "true": b"true",
    "bytes": b"\xff\xfe{}",
    "deep lists": b"[" * DEEP + b"]" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "unfinished lists": b"[" * DEEP,
    "unfinished objects": b'{"a":' * DEEP,
    "somewhat deep": b'{"a":' * 101 + b"1" + b"}" * 101,
    "digits": b'{"a": ' + b"9" * 5000 + b"}",
    "two": b"{}{}",
    "safetensors": b"\x08\0\0\0\0\0\0\0{}      ",
}
