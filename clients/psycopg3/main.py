"""Psycopg 3, which sends parameters apart and prepares what is sent often."""

import asyncio
import datetime
import sys
import uuid

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb

SEEN = "SELECT id, first_name, last_name, email, phone, card, birth_date, last_ip, credit_limit, notes FROM customers WHERE id > %s ORDER BY id"


def show(q, statement, args=None, **options):
    """Print the rows of a statement, or why there are none."""
    try:
        cursor = q.execute(statement, args, **options)
        rows = cursor.fetchall() if cursor.description else []
    except psycopg.Error as e:
        print("error", e.sqlstate, e.diag.message_primary or e, type(e).__name__)
        return
    for row in rows:
        print(*row, sep="|")
    print(cursor.statusmessage)


def transaction(conn, failing):
    print("# a failure in a transaction")
    show(conn, "BEGIN")
    show(conn, failing)
    show(conn, "SELECT 'not any more'")
    print(conn.info.transaction_status.name)
    conn.rollback()
    print("# a failure in a savepoint")
    with conn.transaction():
        try:
            with conn.transaction():
                conn.execute(failing)
        except psycopg.Error as e:
            print(e.sqlstate)
        show(conn, "SELECT 'again'")


def prepared(conn, statement, args):
    print("# prepared at the third time")
    for _ in range(4):
        show(conn, statement, args)
    show(conn, statement, args, prepare=True)
    show(conn, statement, args, prepare=False)
    show(conn, statement, args, binary=True)


def named(conn, statement):
    print("# a named cursor")
    with conn.transaction():
        with conn.cursor("some cursor") as cursor:
            cursor.itersize = 2
            for row in cursor.execute(statement):
                print(*row, sep="|")
        with conn.cursor("scrolled", scrollable=True) as cursor:
            cursor.execute(statement)
            cursor.scroll(2)
            print(cursor.fetchone())
            cursor.scroll(0, mode="absolute")
            print(cursor.fetchmany(2))


def pipeline(conn, failing):
    print("# a pipeline")
    with conn.pipeline() as p:
        cursors = [conn.execute("SELECT id, status FROM orders WHERE id = %s", [i]) for i in range(1, 5)]
        p.sync()
        print([c.fetchone() for c in cursors])
    for failing_at in (0, 1):
        try:
            with conn.pipeline() as p:
                first = conn.execute(failing if failing_at == 0 else "SELECT 1")
                second = conn.execute(failing if failing_at == 1 else "SELECT 2")
                p.sync()
                print(first.fetchall(), second.fetchall())
        except psycopg.Error as e:
            print("error", e.sqlstate, e.diag.message_primary)
    show(conn, "SELECT 'again'")
    with conn.pipeline():
        cursor = conn.cursor()
        cursor.executemany("SELECT id, total FROM orders WHERE id = %s", [(1,), (2,), (99,)], returning=True)
        while True:
            print(cursor.fetchall())
            if not cursor.nextset():
                break


def copy_out(conn, statement):
    try:
        with conn.cursor().copy(statement) as c:
            for row in c.rows():
                print(row)
    except psycopg.Error as e:
        print("error", e.sqlstate, e.diag.message_primary)


def copy_in(conn, statement, *rows):
    cursor = conn.cursor()
    try:
        with cursor.copy(statement) as c:
            for row in rows:
                c.write_row(row)
        print(cursor.statusmessage)
    except psycopg.Error as e:
        print("error", e.sqlstate, e.diag.message_primary)


async def tasks(statement):
    print("# asynchronous")
    async with await psycopg.AsyncConnection.connect("", autocommit=True) as conn:
        async with conn.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(statement)
            async for row in cursor:
                print(row)


def alice(conn):
    prepared(conn, SEEN, [2])
    show(conn, "SELECT id, card FROM customers WHERE card = %s", ["4111111110201111"])
    show(conn, "SELECT id, email FROM customers WHERE id = ANY (%s)", [[3, 4]])
    show(conn, "UPDATE customers SET email = %(email)s, country = 'DE' WHERE id = %(id)s", {"id": 1, "email": "a***@example.de"})
    for refused in ("SELECT ssn FROM customers WHERE id = %s", "DELETE FROM customers WHERE id = %s"):
        for _ in range(7):  # a refused statement must not be taken for prepared
            show(conn, refused, [1])
    transaction(conn, "SELECT ssn FROM customers")
    named(conn, "SELECT id, email FROM customers ORDER BY id")
    pipeline(conn, "SELECT ssn FROM customers")
    print("# copying")
    copy_out(conn, "COPY (SELECT id, email FROM customers ORDER BY id) TO STDOUT")
    copy_out(conn, "COPY customers (id, ssn) TO STDOUT")
    copy_in(conn, "COPY tickets (customer_id, region, subject, body, opened_at) FROM STDIN", (1, "EU", "copied", "text", datetime.date(2026, 11, 22)))
    copy_in(conn, "COPY orders FROM STDIN", (1,))
    asyncio.run(tasks("SELECT id, last_name FROM customers ORDER BY id"))


def crm_app(conn):
    show(conn, "SELECT id, email FROM crm.customers WHERE id = 1")
    with psycopg.connect("", options="-c pgveil.purpose=support", row_factory=dict_row) as conn:
        c = conn.execute("SELECT id, first_name, last_name, email, phone, city, preferences, interests, notes FROM crm.customers WHERE id = 1").fetchone()
        print(c)
        c["interests"].append("chess")
        c["preferences"] = Jsonb(c["preferences"])
        try:
            update = sql.SQL("UPDATE crm.customers SET {} WHERE id = %(id)s").format(
                sql.SQL(", ").join(sql.SQL("{} = {}").format(sql.Identifier(k), sql.Placeholder(k)) for k in c if k != "id"))
            print(conn.execute(update, c).statusmessage)
        except psycopg.Error as e:
            print("error", e.sqlstate, e.diag.message_primary)
        conn.rollback()
        print(conn.execute("SELECT last_name, preferences FROM crm.customers WHERE id = 1").fetchone())


def dora(conn):
    prepared(conn, "SELECT * FROM customers WHERE id > %s ORDER BY id", [5])
    show(conn, "SELECT %s, %s, %s, %s::text, %s, %s, %s, %s", [
        1, "tëxt", b"\0\xff", None, datetime.timedelta(hours=1), ["x", "y, z"], uuid.UUID(int=1), Jsonb({"a": [1, None]})])
    transaction(conn, "SELECT 1 / 0")
    named(conn, "SELECT * FROM orders ORDER BY id")
    pipeline(conn, "SELECT 1 / 0")
    print("# copying")
    copy_out(conn, "COPY customers TO STDOUT")
    copy_in(conn, "COPY countries FROM STDIN", ("NO", "Norway", "EU"))
    copy_in(conn, "COPY countries FROM STDIN", ("DE", "again", "EU"))
    copy_in(conn, "COPY countries (code, name, region) FROM STDIN (FORMAT binary)", ("FI", "Finland", "EU"))
    copy_out(conn, "COPY countries TO STDOUT")
    asyncio.run(tasks("SELECT * FROM orders ORDER BY id"))
    print("# streamed")
    print(sum(n for (n,) in conn.cursor().stream("SELECT generate_series(1, 1000)")))
    print("# notices and notifications")
    conn.add_notice_handler(lambda d: print(d.severity, d.message_primary))
    show(conn, "DO $$ BEGIN RAISE NOTICE 'noticed'; END $$")
    show(conn, "LISTEN birds")
    with psycopg.connect("") as other:
        show(other, "NOTIFY birds, 'tit'")
    generator = conn.notifies()
    n = next(generator)
    print(n.channel, n.payload)
    generator.close()


work = {"alice": alice, "crm_app": crm_app, "dora": dora}[sys.argv[1]]
with psycopg.connect("", autocommit=True) as connection:
    work(connection)
