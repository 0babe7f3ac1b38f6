-- Webhook paths that start a workflow; a path is unique among the active ones. Runs before the code.
-- millrace: re-runnable

create table if not exists public.workflowwebhooksubscription (
    id uuid not null,
    workflow_id uuid not null,
    webhook_path varchar(500) not null,
    secret varchar(255),
    headers jsonb default '{}',
    filters jsonb default '{}',
    is_active boolean not null default true,
    created_at timestamp not null,
    updated_at timestamp not null,
    primary key (id),
    foreign key (workflow_id) references public.workflow (id) on delete cascade
);

create index if not exists ix_workflowwebhooksubscription_workflow_id
    on public.workflowwebhooksubscription (workflow_id);
create index if not exists ix_workflowwebhooksubscription_webhook_path
    on public.workflowwebhooksubscription (webhook_path);
create index if not exists ix_workflowwebhooksubscription_is_active on public.workflowwebhooksubscription (is_active);
create unique index if not exists ix_workflowwebhooksubscription_webhook_path_unique
    on public.workflowwebhooksubscription (webhook_path)
    where is_active = true;
