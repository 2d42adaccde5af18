-- Inheritance and partitions.
CREATE TABLE base (id int PRIMARY KEY, a text DEFAULT 'x', b int NOT NULL);
CREATE TABLE mixin (b int, c date);
CREATE TABLE child (extra int, c date NOT NULL, b int DEFAULT 3) INHERITS (base, mixin);
CREATE TABLE grandchild () INHERITS (child);
CREATE TABLE forgetful (a text DEFAULT NULL) INHERITS (base);
ALTER TABLE base ADD d int NOT NULL DEFAULT 1;
ALTER TABLE mixin ALTER b SET NOT NULL;
ALTER TABLE ONLY base ALTER a SET DEFAULT 'y';
CREATE TABLE customers (id int PRIMARY KEY);

CREATE TABLE events (
    id       bigint,
    at       timestamptz NOT NULL DEFAULT now(),
    customer int REFERENCES customers ON DELETE CASCADE,
    body     text,
    PRIMARY KEY (id, at)
) PARTITION BY RANGE (at);
CREATE TABLE events_2025 PARTITION OF events FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE events_2026 PARTITION OF events (body DEFAULT 'none' NOT NULL)
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY HASH (id);
CREATE TABLE events_2026_0 PARTITION OF events_2026 FOR VALUES WITH (MODULUS 1, REMAINDER 0);
CREATE TABLE events_rest (body text, id bigint NOT NULL, customer int, at timestamptz NOT NULL, 
    CONSTRAINT mine FOREIGN KEY (customer) REFERENCES customers ON DELETE CASCADE);
ALTER TABLE events ATTACH PARTITION events_rest DEFAULT;
ALTER TABLE events ADD COLUMN more text NOT NULL DEFAULT '';
ALTER TABLE events ADD FOREIGN KEY (id) REFERENCES customers;
CREATE TABLE points_at_partitions (id bigint, at timestamptz, FOREIGN KEY (id, at) REFERENCES events);

CREATE TABLE plain (id int, region text) PARTITION BY LIST (region);
CREATE TABLE plain_eu PARTITION OF plain FOR VALUES IN ('EU');
ALTER TABLE plain ADD PRIMARY KEY (id, region);
ALTER TABLE plain ENABLE ROW LEVEL SECURITY;
CREATE POLICY p ON plain USING (region = 'EU');
