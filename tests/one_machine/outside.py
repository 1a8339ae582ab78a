"""What is outside the machine: tells whoever calls at a port from which address, and answers every name with one."""
import socket
import sys
import threading

address, port, answer = sys.argv[1], int(sys.argv[2]), socket.inet_aton(sys.argv[3])


def tell():
    listener = socket.create_server((address, port))
    while True:
        caller, (host, _) = listener.accept()
        caller.sendall(f"{host}\n".encode())
        caller.close()


def names():
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind((address, 53))
    while True:
        question, caller = server.recvfrom(512)
        # The first question ends 4 bytes behind the zero that ends its name; what follows it is left out.
        end = question.index(0, 12) + 5
        is_a = question[end - 4:end - 2] == b"\0\1"
        head = question[:2] + b"\x81\x80" + b"\0\1" + (b"\0\1" if is_a else b"\0\0") + b"\0\0\0\0"
        record = b"\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4" + answer if is_a else b""
        server.sendto(head + question[12:end] + record, caller)


threading.Thread(target=names, daemon=True).start()
tell()
