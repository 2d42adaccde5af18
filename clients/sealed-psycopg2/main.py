"""Psycopg 2, on sealed columns."""

import datetime
import decimal
import io
import uuid

import psycopg2
import psycopg2.extras

psycopg2.extras.register_uuid()
connection = psycopg2.connect("")
connection.autocommit = True
cursor = connection.cursor()
ref = uuid.UUID("a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11")
born = datetime.date(1980, 2, 29)
seen = datetime.datetime(2001, 2, 3, 4, 5, 6, 700000, datetime.timezone.utc)


def show(statement, *args):
    cursor.execute(statement, *args)
    for row in cursor:
        print(*(repr(v) for v in row), sep="|")
    print(cursor.statusmessage)


print("# writing and reading")
cursor.execute("INSERT INTO people VALUES (%s, %s, %s, %s, %s, %s, %s)", (1, "123-45-6789", born, decimal.Decimal("1234.50"), ref, seen, "it's a\tnote"))
show("SELECT ssn, born, income, ref, seen, note FROM people WHERE ssn = %s", ("123-45-6789",))
show("SELECT id FROM people WHERE born = %s AND ref = %s", (born, ref))
show("SELECT id FROM people WHERE ssn = ANY (%s)", (["x", "123-45-6789"],))
show("SELECT id FROM people WHERE ssn IN %s", (("x", "123-45-6789"),))
show("UPDATE people SET income = %s, note = %s WHERE ssn = %s RETURNING income, note", (decimal.Decimal("-0.05"), None, "123-45-6789"))
print("# many at once")
psycopg2.extras.execute_values(cursor, "INSERT INTO people (id, ssn, born) VALUES %s", [(n, f"ssn {n}", born) for n in range(10, 13)])
show("SELECT id, ssn, born FROM people ORDER BY id")
print("# a named cursor")
connection.autocommit = False
with connection.cursor("named") as named:
    named.itersize = 2
    named.execute("SELECT id, ssn, born, income FROM people ORDER BY id")
    for row in named:
        print(*(repr(v) for v in row), sep="|")
connection.rollback()
print("# copies")
cursor.copy_expert("COPY people (id, ssn, born, income) FROM STDIN", io.StringIO("20\tcopied\t2020-01-01\t0.10\n"))
connection.commit()
out = io.StringIO()
cursor.copy_expert("COPY (SELECT id, ssn, born, income FROM people ORDER BY id) TO STDOUT", out)
print(out.getvalue(), end="")
connection.commit()
