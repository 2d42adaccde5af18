-- The main tables of Corteza, as far as the preset speaks of them: names, types and
-- keys, for tests.

CREATE TABLE public.users (
    id bigint NOT NULL,
    email character varying(254),
    email_confirmed boolean,
    username text,
    name text,
    handle text,
    kind text,
    meta jsonb,
    suspended_at timestamp with time zone,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.credentials (
    id bigint NOT NULL,
    rel_owner bigint,
    label text,
    kind character varying(128),
    credentials text,
    meta jsonb,
    last_used_at timestamp with time zone,
    expires_at timestamp with time zone,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.auth_sessions (
    id text NOT NULL,
    data bytea,
    rel_user bigint,
    remote_addr text,
    user_agent text,
    expires_at timestamp with time zone,
    created_at timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.auth_oa2tokens (
    id bigint NOT NULL,
    code text,
    access text,
    refresh text,
    data jsonb,
    remote_addr text,
    user_agent text,
    rel_client bigint,
    rel_user bigint,
    created_at timestamp with time zone,
    expires_at timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.auth_confirmed_clients (
    rel_user bigint NOT NULL,
    rel_client bigint NOT NULL,
    confirmed_at timestamp with time zone,
    PRIMARY KEY (rel_user, rel_client)
);

CREATE TABLE public.roles (
    id bigint NOT NULL,
    name text,
    handle text,
    meta jsonb,
    archived_at timestamp with time zone,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.role_members (
    rel_user bigint NOT NULL,
    rel_role bigint NOT NULL,
    PRIMARY KEY (rel_user, rel_role)
);

CREATE TABLE public.reminders (
    id bigint NOT NULL,
    resource text,
    payload jsonb,
    snooze_count integer,
    assigned_to bigint,
    assigned_by bigint,
    assigned_at timestamp with time zone,
    dismissed_by bigint,
    dismissed_at timestamp with time zone,
    remind_at timestamp with time zone,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    owned_by bigint,
    created_by bigint,
    updated_by bigint,
    deleted_by bigint,
    PRIMARY KEY (id)
);

CREATE TABLE public.attachments (
    id bigint NOT NULL,
    rel_owner bigint,
    kind text,
    url text,
    preview_url text,
    name text,
    meta jsonb,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.actionlog (
    id bigint NOT NULL,
    ts timestamp with time zone,
    actor_ip_addr text,
    actor_id bigint,
    request_origin text,
    request_id text,
    resource text,
    action text,
    error text,
    severity integer,
    description text,
    meta jsonb,
    PRIMARY KEY (id)
);

CREATE TABLE public.data_privacy_requests (
    id bigint NOT NULL,
    kind text,
    status text,
    payload jsonb,
    requested_at timestamp with time zone,
    requested_by bigint,
    completed_at timestamp with time zone,
    completed_by bigint,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    created_by bigint,
    updated_by bigint,
    deleted_by bigint,
    PRIMARY KEY (id)
);

CREATE TABLE public.data_privacy_request_comments (
    id bigint NOT NULL,
    rel_request bigint,
    comment text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    created_by bigint,
    updated_by bigint,
    deleted_by bigint,
    PRIMARY KEY (id)
);

CREATE TABLE public.compose_namespace (
    id bigint NOT NULL,
    slug text,
    enabled boolean,
    meta jsonb,
    name text,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.compose_module (
    id bigint NOT NULL,
    rel_namespace bigint,
    handle text,
    name text,
    meta jsonb,
    config jsonb,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.compose_module_field (
    id bigint NOT NULL,
    rel_module bigint,
    place integer,
    kind text,
    options jsonb,
    name text,
    label text,
    config jsonb,
    is_required boolean,
    is_multi boolean,
    default_value jsonb,
    expressions jsonb,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.compose_record (
    id bigint NOT NULL,
    revision integer,
    rel_module bigint,
    rel_namespace bigint,
    values jsonb,
    meta jsonb,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    owned_by bigint,
    created_by bigint,
    updated_by bigint,
    deleted_by bigint,
    PRIMARY KEY (id)
);

CREATE TABLE public.compose_attachment (
    id bigint NOT NULL,
    rel_namespace bigint,
    rel_owner bigint,
    kind text,
    url text,
    preview_url text,
    name text,
    meta jsonb,
    created_at timestamp with time zone,
    updated_at timestamp with time zone,
    deleted_at timestamp with time zone,
    PRIMARY KEY (id)
);
