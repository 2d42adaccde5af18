-- The main tables of Chatwoot, as far as the preset speaks of them: names, types and
-- keys, for tests.

CREATE TABLE public.accounts (
    id integer NOT NULL,
    name character varying,
    locale integer,
    domain character varying(100),
    support_email character varying(100),
    feature_flags bigint,
    auto_resolve_duration integer,
    limits jsonb,
    custom_attributes jsonb,
    internal_attributes jsonb,
    settings jsonb,
    status integer,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.users (
    id integer NOT NULL,
    provider character varying,
    uid character varying,
    encrypted_password character varying,
    reset_password_token character varying,
    reset_password_sent_at timestamp without time zone,
    remember_created_at timestamp without time zone,
    sign_in_count integer,
    current_sign_in_at timestamp without time zone,
    last_sign_in_at timestamp without time zone,
    current_sign_in_ip character varying,
    last_sign_in_ip character varying,
    confirmation_token character varying,
    confirmed_at timestamp without time zone,
    confirmation_sent_at timestamp without time zone,
    unconfirmed_email character varying,
    name character varying,
    display_name character varying,
    email character varying,
    tokens json,
    pubsub_token character varying,
    availability integer,
    ui_settings jsonb,
    custom_attributes jsonb,
    type character varying,
    message_signature text,
    otp_secret character varying,
    consumed_timestep integer,
    otp_required_for_login boolean,
    otp_backup_codes text,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.inboxes (
    id integer NOT NULL,
    channel_id integer,
    account_id integer,
    name character varying,
    channel_type character varying,
    enable_auto_assignment boolean,
    greeting_enabled boolean,
    greeting_message character varying,
    email_address character varying,
    working_hours_enabled boolean,
    out_of_office_message character varying,
    timezone character varying,
    enable_email_collect boolean,
    csat_survey_enabled boolean,
    csat_config jsonb,
    allow_messages_after_resolved boolean,
    auto_assignment_config jsonb,
    lock_to_single_conversation boolean,
    portal_id bigint,
    sender_name_type integer,
    business_name character varying,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.contacts (
    id integer NOT NULL,
    account_id integer,
    name character varying,
    middle_name character varying,
    last_name character varying,
    email character varying,
    phone_number character varying,
    location character varying,
    country_code character varying,
    identifier character varying,
    additional_attributes jsonb,
    custom_attributes jsonb,
    contact_type integer,
    blocked boolean,
    last_activity_at timestamp without time zone,
    company_id bigint,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.contact_inboxes (
    id bigint NOT NULL,
    contact_id bigint,
    inbox_id bigint,
    source_id character varying,
    hmac_verified boolean,
    pubsub_token character varying,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.conversations (
    id integer NOT NULL,
    account_id integer,
    inbox_id integer,
    status integer,
    priority integer,
    assignee_id integer,
    assignee_agent_bot_id bigint,
    contact_id bigint,
    contact_inbox_id bigint,
    display_id integer,
    uuid uuid,
    identifier character varying,
    team_id bigint,
    campaign_id bigint,
    sla_policy_id bigint,
    additional_attributes jsonb,
    custom_attributes jsonb,
    cached_label_list text,
    contact_last_seen_at timestamp without time zone,
    agent_last_seen_at timestamp without time zone,
    assignee_last_seen_at timestamp without time zone,
    last_activity_at timestamp without time zone,
    first_reply_created_at timestamp without time zone,
    snoozed_until timestamp without time zone,
    waiting_since timestamp without time zone,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.messages (
    id integer NOT NULL,
    account_id integer,
    inbox_id integer,
    conversation_id integer NOT NULL,
    message_type integer,
    content_type integer,
    status integer,
    private boolean,
    source_id character varying,
    sender_type character varying,
    sender_id bigint,
    content text,
    processed_message_content text,
    content_attributes json,
    external_source_ids jsonb,
    additional_attributes jsonb,
    sentiment jsonb,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.attachments (
    id integer NOT NULL,
    file_type integer,
    external_url character varying,
    coordinates_lat double precision,
    coordinates_long double precision,
    message_id integer NOT NULL,
    account_id integer,
    fallback_title character varying,
    extension character varying,
    meta jsonb,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.active_storage_attachments (
    id bigint NOT NULL,
    name character varying,
    record_type character varying,
    record_id bigint,
    blob_id bigint,
    created_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.active_storage_blobs (
    id bigint NOT NULL,
    key character varying,
    filename character varying,
    content_type character varying,
    metadata text,
    byte_size bigint,
    checksum character varying,
    service_name character varying,
    created_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.notes (
    id bigint NOT NULL,
    content text,
    account_id bigint,
    contact_id bigint NOT NULL,
    user_id bigint,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.csat_survey_responses (
    id bigint NOT NULL,
    account_id bigint,
    conversation_id bigint NOT NULL,
    message_id bigint NOT NULL,
    rating integer,
    feedback_message text,
    csat_review_notes text,
    contact_id bigint NOT NULL,
    assigned_agent_id bigint,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.conversation_participants (
    id bigint NOT NULL,
    account_id bigint,
    user_id bigint,
    conversation_id bigint NOT NULL,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.mentions (
    id bigint NOT NULL,
    user_id bigint,
    conversation_id bigint NOT NULL,
    account_id bigint,
    mentioned_at timestamp without time zone,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.tags (
    id integer NOT NULL,
    name character varying,
    taggings_count integer,
    PRIMARY KEY (id)
);

CREATE TABLE public.taggings (
    id integer NOT NULL,
    tag_id integer,
    taggable_type character varying,
    taggable_id integer,
    tagger_type character varying,
    tagger_id integer,
    context character varying(128),
    created_at timestamp without time zone,
    PRIMARY KEY (id)
);

CREATE TABLE public.reporting_events (
    id bigint NOT NULL,
    name character varying,
    value double precision,
    value_in_business_hours double precision,
    account_id integer,
    inbox_id integer,
    user_id integer,
    conversation_id integer,
    event_start_time timestamp without time zone,
    event_end_time timestamp without time zone,
    created_at timestamp without time zone,
    updated_at timestamp without time zone,
    PRIMARY KEY (id)
);

ALTER TABLE public.active_storage_attachments ADD FOREIGN KEY (blob_id) REFERENCES public.active_storage_blobs;
