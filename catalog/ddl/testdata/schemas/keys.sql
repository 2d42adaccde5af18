-- Primary and foreign keys, and the names of the latter.
CREATE TABLE regions (code char(2), country char(2), label text, PRIMARY KEY (country, code) INCLUDE (label));
CREATE TABLE nodes (id int PRIMARY KEY, parent int REFERENCES nodes ON DELETE CASCADE, twin int REFERENCES nodes (id));
CREATE TABLE shops (
    id      int CONSTRAINT shops_key PRIMARY KEY,
    slug    text UNIQUE,
    code    char(2) NOT NULL,
    country char(2),
    node    int CONSTRAINT "Zeta" REFERENCES nodes ON DELETE SET NULL ON UPDATE CASCADE DEFERRABLE INITIALLY DEFERRED,
    other   int,
    FOREIGN KEY (country, code) REFERENCES regions ON DELETE SET DEFAULT,
    CONSTRAINT alpha FOREIGN KEY (other) REFERENCES nodes (id) ON DELETE RESTRICT
);
CREATE TABLE a_b (c int REFERENCES nodes, c_slug text REFERENCES shops (slug));
CREATE TABLE a (b_c int REFERENCES nodes);
CREATE TABLE late (id int, shop int, u int);
ALTER TABLE ONLY late ADD CONSTRAINT late_pkey PRIMARY KEY (id);
ALTER TABLE late ADD FOREIGN KEY (shop) REFERENCES shops NOT VALID, ADD UNIQUE (u);
ALTER TABLE late ADD COLUMN n int REFERENCES nodes;
CREATE UNIQUE INDEX ON late (shop);
COMMENT ON TABLE late IS 'x';
