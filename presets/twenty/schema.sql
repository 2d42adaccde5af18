-- The main tables of Twenty, as far as the preset speaks of them: names, types and
-- keys, for tests.

CREATE SCHEMA workspace;

CREATE TABLE workspace."workspaceMember" (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    "nameFirstName" text,
    "nameLastName" text,
    "userEmail" text,
    "userId" uuid,
    "avatarUrl" text,
    "colorScheme" text,
    locale text,
    "timeZone" text,
    "dateFormat" text,
    "timeFormat" text,
    "calendarStartDay" integer,
    "numberFormat" text,
    position double precision,
    "searchVector" tsvector,
    PRIMARY KEY (id)
);

CREATE TABLE workspace.company (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    name text,
    "domainNamePrimaryLinkLabel" text,
    "domainNamePrimaryLinkUrl" text,
    "domainNameSecondaryLinks" jsonb,
    "linkedinLinkPrimaryLinkLabel" text,
    "linkedinLinkPrimaryLinkUrl" text,
    "linkedinLinkSecondaryLinks" jsonb,
    "xLinkPrimaryLinkLabel" text,
    "xLinkPrimaryLinkUrl" text,
    "xLinkSecondaryLinks" jsonb,
    employees double precision,
    "annualRecurringRevenueAmountMicros" numeric,
    "annualRecurringRevenueCurrencyCode" text,
    "addressAddressStreet1" text,
    "addressAddressStreet2" text,
    "addressAddressCity" text,
    "addressAddressPostcode" text,
    "addressAddressState" text,
    "addressAddressCountry" text,
    "addressAddressLat" numeric,
    "addressAddressLng" numeric,
    "idealCustomerProfile" boolean,
    "accountOwnerId" uuid,
    "createdBySource" text,
    "createdByWorkspaceMemberId" uuid,
    "createdByName" text,
    "createdByContext" jsonb,
    "updatedBySource" text,
    "updatedByWorkspaceMemberId" uuid,
    "updatedByName" text,
    "updatedByContext" jsonb,
    position double precision,
    "searchVector" tsvector,
    PRIMARY KEY (id)
);

CREATE TABLE workspace.person (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    "nameFirstName" text,
    "nameLastName" text,
    "emailsPrimaryEmail" text,
    "emailsAdditionalEmails" jsonb,
    "linkedinLinkPrimaryLinkLabel" text,
    "linkedinLinkPrimaryLinkUrl" text,
    "linkedinLinkSecondaryLinks" jsonb,
    "xLinkPrimaryLinkLabel" text,
    "xLinkPrimaryLinkUrl" text,
    "xLinkSecondaryLinks" jsonb,
    "jobTitle" text,
    phone text,
    "phonesPrimaryPhoneNumber" text,
    "phonesPrimaryPhoneCountryCode" text,
    "phonesPrimaryPhoneCallingCode" text,
    "phonesAdditionalPhones" jsonb,
    "whatsappPrimaryPhoneNumber" text,
    "whatsappPrimaryPhoneCountryCode" text,
    "whatsappPrimaryPhoneCallingCode" text,
    "whatsappAdditionalPhones" jsonb,
    city text,
    "avatarUrl" text,
    "avatarFile" jsonb,
    "companyId" uuid,
    "createdBySource" text,
    "createdByWorkspaceMemberId" uuid,
    "createdByName" text,
    "createdByContext" jsonb,
    "updatedBySource" text,
    "updatedByWorkspaceMemberId" uuid,
    "updatedByName" text,
    "updatedByContext" jsonb,
    position double precision,
    "searchVector" tsvector,
    PRIMARY KEY (id)
);

CREATE TABLE workspace.opportunity (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    name text,
    "amountAmountMicros" numeric,
    "amountCurrencyCode" text,
    "closeDate" timestamp with time zone,
    stage text,
    probability text,
    "ownerId" uuid,
    "pointOfContactId" uuid,
    "companyId" uuid,
    "createdBySource" text,
    "createdByWorkspaceMemberId" uuid,
    "createdByName" text,
    "createdByContext" jsonb,
    "updatedBySource" text,
    "updatedByWorkspaceMemberId" uuid,
    "updatedByName" text,
    "updatedByContext" jsonb,
    position double precision,
    "searchVector" tsvector,
    PRIMARY KEY (id)
);

CREATE TABLE workspace.note (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    title text,
    body text,
    "bodyV2Blocknote" text,
    "bodyV2Markdown" text,
    "createdBySource" text,
    "createdByWorkspaceMemberId" uuid,
    "createdByName" text,
    "createdByContext" jsonb,
    "updatedBySource" text,
    "updatedByWorkspaceMemberId" uuid,
    "updatedByName" text,
    "updatedByContext" jsonb,
    position double precision,
    "searchVector" tsvector,
    PRIMARY KEY (id)
);

CREATE TABLE workspace."noteTarget" (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    "noteId" uuid,
    "personId" uuid,
    "targetPersonId" uuid,
    "companyId" uuid,
    "targetCompanyId" uuid,
    "opportunityId" uuid,
    "targetOpportunityId" uuid,
    position double precision,
    "createdBySource" text,
    "createdByWorkspaceMemberId" uuid,
    "createdByName" text,
    "createdByContext" jsonb,
    PRIMARY KEY (id)
);

CREATE TABLE workspace.task (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    title text,
    body text,
    "bodyV2Blocknote" text,
    "bodyV2Markdown" text,
    "dueAt" timestamp with time zone,
    status text,
    "assigneeId" uuid,
    "createdBySource" text,
    "createdByWorkspaceMemberId" uuid,
    "createdByName" text,
    "createdByContext" jsonb,
    "updatedBySource" text,
    "updatedByWorkspaceMemberId" uuid,
    "updatedByName" text,
    "updatedByContext" jsonb,
    position double precision,
    "searchVector" tsvector,
    PRIMARY KEY (id)
);

CREATE TABLE workspace."taskTarget" (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    "taskId" uuid,
    "personId" uuid,
    "targetPersonId" uuid,
    "companyId" uuid,
    "targetCompanyId" uuid,
    "opportunityId" uuid,
    "targetOpportunityId" uuid,
    position double precision,
    "createdBySource" text,
    "createdByWorkspaceMemberId" uuid,
    "createdByName" text,
    "createdByContext" jsonb,
    PRIMARY KEY (id)
);

CREATE TABLE workspace.attachment (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    name text,
    "fullPath" text,
    file jsonb,
    type text,
    "fileCategory" text,
    "authorId" uuid,
    "taskId" uuid,
    "targetTaskId" uuid,
    "noteId" uuid,
    "targetNoteId" uuid,
    "personId" uuid,
    "targetPersonId" uuid,
    "companyId" uuid,
    "targetCompanyId" uuid,
    "opportunityId" uuid,
    "targetOpportunityId" uuid,
    "dashboardId" uuid,
    "workflowId" uuid,
    position double precision,
    "createdBySource" text,
    "createdByWorkspaceMemberId" uuid,
    "createdByName" text,
    "createdByContext" jsonb,
    "updatedBySource" text,
    "updatedByWorkspaceMemberId" uuid,
    "updatedByName" text,
    "updatedByContext" jsonb,
    PRIMARY KEY (id)
);

CREATE TABLE workspace."timelineActivity" (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    "happensAt" timestamp with time zone,
    name text,
    properties jsonb,
    "linkedRecordCachedName" text,
    "linkedRecordId" uuid,
    "linkedObjectMetadataId" uuid,
    "workspaceMemberId" uuid,
    "personId" uuid,
    "targetPersonId" uuid,
    "companyId" uuid,
    "targetCompanyId" uuid,
    "opportunityId" uuid,
    "targetOpportunityId" uuid,
    "noteId" uuid,
    "targetNoteId" uuid,
    "taskId" uuid,
    "targetTaskId" uuid,
    "workflowId" uuid,
    "workflowVersionId" uuid,
    "workflowRunId" uuid,
    PRIMARY KEY (id)
);

CREATE TABLE workspace."messageThread" (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    PRIMARY KEY (id)
);

CREATE TABLE workspace.message (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    "headerMessageId" text,
    subject text,
    text text,
    "receivedAt" timestamp with time zone,
    "messageThreadId" uuid,
    PRIMARY KEY (id)
);

CREATE TABLE workspace."messageParticipant" (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    role text,
    handle text,
    "displayName" text,
    "messageId" uuid,
    "personId" uuid,
    "workspaceMemberId" uuid,
    PRIMARY KEY (id)
);

CREATE TABLE workspace."calendarEvent" (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    title text,
    description text,
    location text,
    "isCanceled" boolean,
    "isFullDay" boolean,
    "startsAt" timestamp with time zone,
    "endsAt" timestamp with time zone,
    "externalCreatedAt" timestamp with time zone,
    "externalUpdatedAt" timestamp with time zone,
    "iCalUid" text,
    "iCalUID" text,
    "conferenceSolution" text,
    "conferenceLinkPrimaryLinkLabel" text,
    "conferenceLinkPrimaryLinkUrl" text,
    "conferenceLinkSecondaryLinks" jsonb,
    PRIMARY KEY (id)
);

CREATE TABLE workspace."calendarEventParticipant" (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    handle text,
    "displayName" text,
    "isOrganizer" boolean,
    "responseStatus" text,
    "calendarEventId" uuid,
    "personId" uuid,
    "workspaceMemberId" uuid,
    PRIMARY KEY (id)
);

CREATE TABLE workspace.favorite (
    id uuid NOT NULL,
    "createdAt" timestamp with time zone,
    "updatedAt" timestamp with time zone,
    "deletedAt" timestamp with time zone,
    position double precision,
    "forWorkspaceMemberId" uuid,
    "workspaceMemberId" uuid,
    "personId" uuid,
    "companyId" uuid,
    "opportunityId" uuid,
    "noteId" uuid,
    "taskId" uuid,
    "workflowId" uuid,
    "viewId" uuid,
    "favoriteFolderId" uuid,
    PRIMARY KEY (id)
);

ALTER TABLE workspace.company ADD FOREIGN KEY ("accountOwnerId") REFERENCES workspace."workspaceMember" ON DELETE SET NULL;
ALTER TABLE workspace.person ADD FOREIGN KEY ("companyId") REFERENCES workspace.company ON DELETE SET NULL;
ALTER TABLE workspace.opportunity ADD FOREIGN KEY ("ownerId") REFERENCES workspace."workspaceMember" ON DELETE SET NULL;
ALTER TABLE workspace.opportunity ADD FOREIGN KEY ("pointOfContactId") REFERENCES workspace.person ON DELETE SET NULL;
ALTER TABLE workspace.opportunity ADD FOREIGN KEY ("companyId") REFERENCES workspace.company ON DELETE SET NULL;
ALTER TABLE workspace."noteTarget" ADD FOREIGN KEY ("noteId") REFERENCES workspace.note ON DELETE CASCADE;
ALTER TABLE workspace."noteTarget" ADD FOREIGN KEY ("personId") REFERENCES workspace.person ON DELETE CASCADE;
ALTER TABLE workspace."noteTarget" ADD FOREIGN KEY ("targetPersonId") REFERENCES workspace.person ON DELETE CASCADE;
ALTER TABLE workspace."noteTarget" ADD FOREIGN KEY ("companyId") REFERENCES workspace.company ON DELETE CASCADE;
ALTER TABLE workspace."noteTarget" ADD FOREIGN KEY ("targetCompanyId") REFERENCES workspace.company ON DELETE CASCADE;
ALTER TABLE workspace."noteTarget" ADD FOREIGN KEY ("opportunityId") REFERENCES workspace.opportunity ON DELETE CASCADE;
ALTER TABLE workspace."noteTarget" ADD FOREIGN KEY ("targetOpportunityId") REFERENCES workspace.opportunity ON DELETE CASCADE;
ALTER TABLE workspace.task ADD FOREIGN KEY ("assigneeId") REFERENCES workspace."workspaceMember" ON DELETE SET NULL;
ALTER TABLE workspace."taskTarget" ADD FOREIGN KEY ("taskId") REFERENCES workspace.task ON DELETE CASCADE;
ALTER TABLE workspace."taskTarget" ADD FOREIGN KEY ("personId") REFERENCES workspace.person ON DELETE CASCADE;
ALTER TABLE workspace."taskTarget" ADD FOREIGN KEY ("targetPersonId") REFERENCES workspace.person ON DELETE CASCADE;
ALTER TABLE workspace."taskTarget" ADD FOREIGN KEY ("companyId") REFERENCES workspace.company ON DELETE CASCADE;
ALTER TABLE workspace."taskTarget" ADD FOREIGN KEY ("targetCompanyId") REFERENCES workspace.company ON DELETE CASCADE;
ALTER TABLE workspace."taskTarget" ADD FOREIGN KEY ("opportunityId") REFERENCES workspace.opportunity ON DELETE CASCADE;
ALTER TABLE workspace."taskTarget" ADD FOREIGN KEY ("targetOpportunityId") REFERENCES workspace.opportunity ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("authorId") REFERENCES workspace."workspaceMember" ON DELETE SET NULL;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("taskId") REFERENCES workspace.task ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("targetTaskId") REFERENCES workspace.task ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("noteId") REFERENCES workspace.note ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("targetNoteId") REFERENCES workspace.note ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("personId") REFERENCES workspace.person ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("targetPersonId") REFERENCES workspace.person ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("companyId") REFERENCES workspace.company ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("targetCompanyId") REFERENCES workspace.company ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("opportunityId") REFERENCES workspace.opportunity ON DELETE CASCADE;
ALTER TABLE workspace.attachment ADD FOREIGN KEY ("targetOpportunityId") REFERENCES workspace.opportunity ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("workspaceMemberId") REFERENCES workspace."workspaceMember" ON DELETE SET NULL;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("personId") REFERENCES workspace.person ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("targetPersonId") REFERENCES workspace.person ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("companyId") REFERENCES workspace.company ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("targetCompanyId") REFERENCES workspace.company ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("opportunityId") REFERENCES workspace.opportunity ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("targetOpportunityId") REFERENCES workspace.opportunity ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("noteId") REFERENCES workspace.note ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("targetNoteId") REFERENCES workspace.note ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("taskId") REFERENCES workspace.task ON DELETE CASCADE;
ALTER TABLE workspace."timelineActivity" ADD FOREIGN KEY ("targetTaskId") REFERENCES workspace.task ON DELETE CASCADE;
ALTER TABLE workspace.message ADD FOREIGN KEY ("messageThreadId") REFERENCES workspace."messageThread" ON DELETE CASCADE;
ALTER TABLE workspace."messageParticipant" ADD FOREIGN KEY ("messageId") REFERENCES workspace.message ON DELETE CASCADE;
ALTER TABLE workspace."messageParticipant" ADD FOREIGN KEY ("personId") REFERENCES workspace.person ON DELETE SET NULL;
ALTER TABLE workspace."messageParticipant" ADD FOREIGN KEY ("workspaceMemberId") REFERENCES workspace."workspaceMember" ON DELETE SET NULL;
ALTER TABLE workspace."calendarEventParticipant" ADD FOREIGN KEY ("calendarEventId") REFERENCES workspace."calendarEvent" ON DELETE CASCADE;
ALTER TABLE workspace."calendarEventParticipant" ADD FOREIGN KEY ("personId") REFERENCES workspace.person ON DELETE SET NULL;
ALTER TABLE workspace."calendarEventParticipant" ADD FOREIGN KEY ("workspaceMemberId") REFERENCES workspace."workspaceMember" ON DELETE SET NULL;
ALTER TABLE workspace.favorite ADD FOREIGN KEY ("forWorkspaceMemberId") REFERENCES workspace."workspaceMember" ON DELETE CASCADE;
ALTER TABLE workspace.favorite ADD FOREIGN KEY ("workspaceMemberId") REFERENCES workspace."workspaceMember" ON DELETE CASCADE;
ALTER TABLE workspace.favorite ADD FOREIGN KEY ("personId") REFERENCES workspace.person ON DELETE CASCADE;
ALTER TABLE workspace.favorite ADD FOREIGN KEY ("companyId") REFERENCES workspace.company ON DELETE CASCADE;
ALTER TABLE workspace.favorite ADD FOREIGN KEY ("opportunityId") REFERENCES workspace.opportunity ON DELETE CASCADE;
ALTER TABLE workspace.favorite ADD FOREIGN KEY ("noteId") REFERENCES workspace.note ON DELETE CASCADE;
ALTER TABLE workspace.favorite ADD FOREIGN KEY ("taskId") REFERENCES workspace.task ON DELETE CASCADE;
