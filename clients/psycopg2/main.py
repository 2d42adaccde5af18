"""Psycopg 2, which sends every statement by the simple protocol, its values within."""

import datetime
import io
import select
import sys

import psycopg2
import psycopg2.extras
import psycopg2.extensions
from psycopg2 import sql


def show(cursor, statement, *args):
    """Print the rows of a statement, or why there are none."""
    try:
        cursor.execute(statement, *args)
    except psycopg2.Error as e:
        print("error", e.pgcode, e.diag.message_primary, type(e).__name__)
        return
    if cursor.description:
        for row in cursor:
            print(*(bytes(v) if isinstance(v, memoryview) else v for v in row), sep="|")
    print(cursor.statusmessage)


def copy(cursor, statement, text=None):
    f = io.StringIO(text)
    try:
        cursor.copy_expert(statement, f)
    except psycopg2.Error as e:
        print("error", e.pgcode, e.diag.message_primary)
        return
    print(cursor.statusmessage, "" if text else f.getvalue().rstrip())


def transaction(conn, failing):
    print("# a failure in a transaction")
    cursor = conn.cursor()
    show(cursor, failing)
    show(cursor, "SELECT 'not any more'")
    conn.rollback()
    show(cursor, "SELECT 'again'")
    conn.commit()
    print("# a failure in a savepoint")
    show(cursor, "SAVEPOINT s")
    show(cursor, failing)
    show(cursor, "ROLLBACK TO SAVEPOINT s")
    show(cursor, "SELECT 'again'")
    conn.commit()


def named(conn, statement):
    print("# a named cursor")
    with conn.cursor("some cursor") as cursor:
        cursor.itersize = 2
        cursor.execute(statement)
        for row in cursor:
            print(*row, sep="|")
    with conn.cursor("scrolled", scrollable=True) as cursor:
        cursor.execute(statement)
        cursor.scroll(2)
        print(cursor.fetchone())
        cursor.scroll(0, mode="absolute")
        print(cursor.fetchmany(2))
    conn.commit()


def alice(conn):
    cursor = conn.cursor()
    show(cursor, "SELECT id, first_name, last_name, email, phone, card, birth_date, last_ip, credit_limit, notes FROM customers ORDER BY id")
    show(cursor, "SELECT id, card FROM customers WHERE card = %s", ["4111111110201111"])
    show(cursor, "SELECT id, email FROM customers WHERE id IN %s", [(3, 4)])
    show(cursor, "UPDATE customers SET email = %(email)s, country = 'DE' WHERE id = %(id)s", {"id": 1, "email": "a***@example.de"})
    conn.commit()
    for refused in ("SELECT ssn FROM customers", "DELETE FROM customers", "SET ROLE dora", "SELECT pg_read_file('PG_VERSION')"):
        show(cursor, refused)
        conn.rollback()
    transaction(conn, "SELECT ssn FROM customers")
    named(conn, "SELECT id, email FROM customers ORDER BY id")
    print("# many at once")
    psycopg2.extras.execute_values(cursor, "INSERT INTO tickets (customer_id, region, subject, body, opened_at) VALUES %s RETURNING id, body",
                                   [(i, "EU", "by psycopg2", "mail anna@example.org", datetime.date(2026, 11, 22)) for i in (1, 2)])
    print(cursor.fetchall())
    psycopg2.extras.execute_batch(cursor, "UPDATE tickets SET subject = %s WHERE id = %s", [("changed", 9), ("changed", 10)])
    show(cursor, "SELECT id, subject FROM tickets WHERE id > 8 ORDER BY id")
    conn.commit()
    print("# copying")
    copy(cursor, "COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT")
    copy(cursor, "COPY customers (id, ssn) TO STDOUT")
    conn.rollback()
    copy(cursor, "COPY orders FROM STDIN", "1\n")
    conn.rollback()
    copy(cursor, "COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN", "1\tEU\tcopied\ttext\t2026-11-22\n")
    conn.commit()
    with conn.cursor(cursor_factory=psycopg2.extras.RealDictCursor) as d:
        d.execute(sql.SQL("SELECT * FROM {} WHERE id = 1").format(sql.Identifier("public", "customers")))
        print(sorted(d.fetchone()))


def crm_app(conn):
    cursor = conn.cursor()
    show(cursor, "SELECT id, email FROM crm.customers WHERE id = 1")
    conn.rollback()
    conn.close()
    conn = psycopg2.connect("", options="-c pgveil.purpose=support")
    psycopg2.extras.register_composite("crm.postal_address", conn)
    cursor = conn.cursor()
    cursor.execute("SELECT id, first_name, last_name, email, phone, city, address, preferences, interests, notes FROM crm.customers WHERE id = 1")
    row = list(cursor.fetchone())
    print(row)
    row[8].append("chess")
    show(cursor, "UPDATE crm.customers SET first_name = %s, last_name = %s, email = %s, phone = %s, city = %s, interests = %s, notes = %s WHERE id = 1",
         row[1:6] + row[8:])
    conn.commit()
    show(cursor, "SELECT id, last_name, email, interests FROM crm.customers WHERE id = 1")


def dora(conn):
    cursor = conn.cursor()
    show(cursor, "SELECT * FROM customers ORDER BY id")
    show(cursor, "SELECT %s, %s, %s, %s, %s, %s, %s", [1, "tëxt '\\", psycopg2.Binary(b"\0\xff"), None, datetime.timedelta(hours=1), ["x", "y, z"], 1.5])
    transaction(conn, "SELECT 1 / 0")
    named(conn, "SELECT * FROM orders ORDER BY id")
    print("# copying")
    copy(cursor, "COPY customers TO STDOUT (FORMAT csv, HEADER)")
    copy(cursor, "COPY countries FROM STDIN", "DE\tagain\tEU\n")
    conn.rollback()
    copy(cursor, "COPY countries FROM STDIN", "NO\tNorway\tEU\n")
    conn.commit()
    print("# large objects")
    o = conn.lobject(0, "wb")
    o.write(b"x" * 100000)
    print(o.seek(0, 2), o.tell())
    o.unlink()
    conn.commit()
    print("# prepared transaction")
    xid = conn.xid(1, "global", "branch")
    conn.tpc_begin(xid)
    show(cursor, "UPDATE orders SET total = 1 WHERE id = 1")
    conn.tpc_prepare()
    conn.reset()
    print([x.gtrid for x in conn.tpc_recover()])
    conn.reset()
    conn.tpc_rollback(xid)
    print("# notices and notifications")
    conn.autocommit = True
    show(cursor, "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$")
    print(conn.notices)
    show(cursor, "LISTEN birds; NOTIFY birds, 'tit'")
    conn.poll()
    print([(n.channel, n.payload) for n in conn.notifies])
    print("# asynchronous, and cancelled")
    with psycopg2.connect("") as other:
        other.cancel()  # of nothing
        show(other.cursor(), "SELECT 'alive'")
    waiting = psycopg2.connect("", async_=True)
    wait(waiting)
    slow = waiting.cursor()
    slow.execute("SELECT pg_sleep(30)")
    waiting.cancel()
    try:
        wait(waiting)
    except psycopg2.extensions.QueryCanceledError as e:
        print(e.pgcode)
    print(psycopg2.extensions.encodings[conn.encoding], conn.server_version > 0, conn.info.ssl_in_use)
    for encoding in ("LATIN1", "SJIS", "UTF8"):
        conn.set_client_encoding(encoding)
        show(cursor, "SELECT 'ASCII', 'ö' = chr(246)" if encoding != "SJIS" else "SELECT 'ア'")


def wait(conn):
    while True:
        state = conn.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        select.select([conn], [] if state == psycopg2.extensions.POLL_READ else [conn], [], 10)


work = {"alice": alice, "crm_app": crm_app, "dora": dora}[sys.argv[1]]
work(psycopg2.connect(""))
