CREATE TABLE IF NOT EXISTS pgveil.habits (
    username text NOT NULL,
    day      date NOT NULL,
    sketch   bytea NOT NULL,
    subjects integer NOT NULL,
    peak     integer NOT NULL,
    hours    integer NOT NULL,
    PRIMARY KEY (username, day)
);
COMMENT ON TABLE pgveil.habits IS 'What users do on a day: how many data subjects they read, and at which hours they work. Kept for 35 days.';
CREATE INDEX IF NOT EXISTS habits_by_day ON pgveil.habits (day);
CREATE TABLE IF NOT EXISTS pgveil.habit_names (
    username   text NOT NULL,
    what       text NOT NULL CHECK (what IN ('table', 'network')),
    name       text NOT NULL,
    first_seen date NOT NULL,
    PRIMARY KEY (username, what, name)
);
COMMENT ON TABLE pgveil.habit_names IS 'Which tables users use, and from which networks logins come.';
REVOKE ALL ON pgveil.habits, pgveil.habit_names FROM PUBLIC;
