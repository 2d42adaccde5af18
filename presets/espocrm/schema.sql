-- The main tables of EspoCRM, as far as the preset speaks of them: names, types and
-- keys, for tests.

CREATE TABLE public."user" (
    id character varying(17) NOT NULL,
    deleted boolean,
    user_name character varying(50),
    type character varying(24),
    password character varying(150),
    auth_method character varying(24),
    api_key character varying(100),
    salutation_name character varying(255),
    first_name character varying(100),
    last_name character varying(100),
    middle_name character varying(100),
    is_active boolean,
    title character varying(100),
    gender character varying(255),
    avatar_id character varying(17),
    contact_id character varying(17),
    default_team_id character varying(17),
    delete_id character varying(17),
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.account (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(249),
    website character varying(255),
    type character varying(255),
    industry character varying(255),
    sic_code character varying(40),
    description text,
    campaign_id character varying(17),
    stream_updated_at timestamp without time zone,
    version_number bigint,
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    billing_address_street character varying(255),
    billing_address_city character varying(255),
    billing_address_state character varying(255),
    billing_address_country character varying(255),
    billing_address_postal_code character varying(255),
    shipping_address_street character varying(255),
    shipping_address_city character varying(255),
    shipping_address_state character varying(255),
    shipping_address_country character varying(255),
    shipping_address_postal_code character varying(255),
    PRIMARY KEY (id)
);

CREATE TABLE public.contact (
    id character varying(17) NOT NULL,
    deleted boolean,
    salutation_name character varying(255),
    first_name character varying(100),
    last_name character varying(100),
    middle_name character varying(100),
    account_id character varying(17),
    campaign_id character varying(17),
    description text,
    do_not_call boolean,
    stream_updated_at timestamp without time zone,
    version_number bigint,
    address_street character varying(255),
    address_city character varying(255),
    address_state character varying(255),
    address_country character varying(255),
    address_postal_code character varying(255),
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.lead (
    id character varying(17) NOT NULL,
    deleted boolean,
    salutation_name character varying(255),
    first_name character varying(100),
    last_name character varying(100),
    middle_name character varying(100),
    title character varying(100),
    account_name character varying(255),
    website character varying(255),
    status character varying(255),
    source character varying(255),
    industry character varying(255),
    opportunity_amount double precision,
    opportunity_amount_currency character varying(3),
    description text,
    do_not_call boolean,
    converted_at timestamp without time zone,
    campaign_id character varying(17),
    created_account_id character varying(17),
    created_contact_id character varying(17),
    created_opportunity_id character varying(17),
    stream_updated_at timestamp without time zone,
    version_number bigint,
    address_street character varying(255),
    address_city character varying(255),
    address_state character varying(255),
    address_country character varying(255),
    address_postal_code character varying(255),
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.account_contact (
    id bigint NOT NULL,
    account_id character varying(17),
    contact_id character varying(17),
    deleted boolean,
    role character varying(100),
    is_inactive boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public.opportunity (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(255),
    amount double precision,
    amount_currency character varying(3),
    stage character varying(255),
    last_stage character varying(255),
    probability integer,
    lead_source character varying(255),
    close_date date,
    description text,
    account_id character varying(17),
    contact_id character varying(17),
    campaign_id character varying(17),
    stream_updated_at timestamp without time zone,
    version_number bigint,
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.contact_opportunity (
    id bigint NOT NULL,
    contact_id character varying(17),
    opportunity_id character varying(17),
    deleted boolean,
    role character varying(50),
    PRIMARY KEY (id)
);

CREATE TABLE public."case" (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(255),
    number integer,
    status character varying(255),
    priority character varying(255),
    type character varying(255),
    description text,
    account_id character varying(17),
    lead_id character varying(17),
    contact_id character varying(17),
    inbound_email_id character varying(17),
    is_internal boolean,
    stream_updated_at timestamp without time zone,
    version_number bigint,
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.case_contact (
    id bigint NOT NULL,
    case_id character varying(17),
    contact_id character varying(17),
    deleted boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public."call" (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(255),
    status character varying(255),
    date_start timestamp without time zone,
    date_end timestamp without time zone,
    direction character varying(255),
    description text,
    uid character varying(255),
    account_id character varying(17),
    stream_updated_at timestamp without time zone,
    parent_id character varying(17),
    parent_type character varying(100),
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.call_contact (
    id bigint NOT NULL,
    call_id character varying(17),
    contact_id character varying(17),
    deleted boolean,
    status character varying(36),
    PRIMARY KEY (id)
);

CREATE TABLE public.call_lead (
    id bigint NOT NULL,
    call_id character varying(17),
    lead_id character varying(17),
    deleted boolean,
    status character varying(36),
    PRIMARY KEY (id)
);

CREATE TABLE public.meeting (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(255),
    status character varying(255),
    date_start timestamp without time zone,
    date_end timestamp without time zone,
    date_start_date date,
    date_end_date date,
    is_all_day boolean,
    description text,
    uid character varying(255),
    join_url text,
    account_id character varying(17),
    stream_updated_at timestamp without time zone,
    parent_id character varying(17),
    parent_type character varying(100),
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.contact_meeting (
    id bigint NOT NULL,
    contact_id character varying(17),
    meeting_id character varying(17),
    deleted boolean,
    status character varying(36),
    PRIMARY KEY (id)
);

CREATE TABLE public.lead_meeting (
    id bigint NOT NULL,
    lead_id character varying(17),
    meeting_id character varying(17),
    deleted boolean,
    status character varying(36),
    PRIMARY KEY (id)
);

CREATE TABLE public.task (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(255),
    status character varying(255),
    priority character varying(255),
    date_start timestamp without time zone,
    date_end timestamp without time zone,
    date_start_date date,
    date_end_date date,
    date_completed timestamp without time zone,
    description text,
    account_id character varying(17),
    contact_id character varying(17),
    email_id character varying(17),
    stream_updated_at timestamp without time zone,
    parent_id character varying(17),
    parent_type character varying(100),
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.email (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(255),
    from_string character varying(255),
    reply_to_string character varying(255),
    address_name_map text,
    is_replied boolean,
    message_id character varying(255),
    message_id_internal character varying(300),
    body_plain text,
    body text,
    is_html boolean,
    status character varying(255),
    has_attachment boolean,
    date_sent timestamp without time zone,
    delivery_date timestamp without time zone,
    send_at timestamp without time zone,
    is_auto_reply boolean,
    is_system boolean,
    ics_contents text,
    ics_event_uid character varying(255),
    from_email_address_id character varying(17),
    sent_by_id character varying(17),
    replied_id character varying(17),
    account_id character varying(17),
    group_folder_id character varying(17),
    group_status_folder character varying(36),
    parent_id character varying(17),
    parent_type character varying(100),
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.email_email_address (
    id bigint NOT NULL,
    email_id character varying(17),
    email_address_id character varying(17),
    deleted boolean,
    address_type character varying(4),
    PRIMARY KEY (id)
);

CREATE TABLE public.email_address (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(255),
    lower character varying(255),
    invalid boolean,
    opt_out boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public.entity_email_address (
    id bigint NOT NULL,
    entity_id character varying(17),
    email_address_id character varying(17),
    entity_type character varying(100),
    "primary" boolean,
    deleted boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public.phone_number (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(36),
    numeric character varying(36),
    type character varying(255),
    invalid boolean,
    opt_out boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public.entity_phone_number (
    id bigint NOT NULL,
    entity_id character varying(17),
    phone_number_id character varying(17),
    entity_type character varying(100),
    "primary" boolean,
    deleted boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public.note (
    id character varying(17) NOT NULL,
    deleted boolean,
    post text,
    data text,
    type character varying(24),
    target_type character varying(7),
    number bigint,
    is_global boolean,
    is_internal boolean,
    is_pinned boolean,
    related_id character varying(17),
    related_type character varying(100),
    super_parent_id character varying(17),
    super_parent_type character varying(100),
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    parent_id character varying(17),
    parent_type character varying(100),
    PRIMARY KEY (id)
);

CREATE TABLE public.attachment (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(255),
    type character varying(100),
    size bigint,
    field character varying(255),
    role character varying(36),
    storage character varying(24),
    storage_file_path character varying(260),
    source_id character varying(36),
    global boolean,
    is_being_uploaded boolean,
    related_id character varying(17),
    related_type character varying(100),
    created_at timestamp without time zone,
    created_by_id character varying(17),
    parent_id character varying(17),
    parent_type character varying(100),
    PRIMARY KEY (id)
);

CREATE TABLE public.target_list (
    id character varying(17) NOT NULL,
    deleted boolean,
    name character varying(255),
    description text,
    created_at timestamp without time zone,
    modified_at timestamp without time zone,
    created_by_id character varying(17),
    modified_by_id character varying(17),
    assigned_user_id character varying(17),
    campaigns_id character varying(17),
    PRIMARY KEY (id)
);

CREATE TABLE public.contact_target_list (
    id bigint NOT NULL,
    contact_id character varying(17),
    target_list_id character varying(17),
    deleted boolean,
    opted_out boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public.lead_target_list (
    id bigint NOT NULL,
    lead_id character varying(17),
    target_list_id character varying(17),
    deleted boolean,
    opted_out boolean,
    PRIMARY KEY (id)
);

CREATE TABLE public.campaign_log_record (
    id character varying(17) NOT NULL,
    deleted boolean,
    action character varying(50),
    action_date timestamp without time zone,
    data text,
    string_data character varying(100),
    string_additional_data character varying(100),
    application character varying(36),
    is_test boolean,
    campaign_id character varying(17),
    object_id character varying(17),
    object_type character varying(100),
    queue_item_id character varying(17),
    created_at timestamp without time zone,
    created_by_id character varying(17),
    parent_id character varying(17),
    parent_type character varying(100),
    PRIMARY KEY (id)
);
