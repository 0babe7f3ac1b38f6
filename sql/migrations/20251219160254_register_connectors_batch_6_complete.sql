-- Registers 7 of the 99 platform connectors, as the registry described them then. Runs before the code.
-- millrace: re-runnable
--
-- Insightly to Linear. The manifests promise one connection test and nothing else; working ones come in later
-- migrations. A connector or a version that is already registered is left alone.

insert into public.connector (id, slug, name, status, latest_version_id, created_at, is_platform)
values
    (
        '189238a5-b673-52cc-add9-173d5c1cee1f', 'insightly', 'Insightly', 'beta',
        'b581806f-4c85-54f1-a106-eb4bb007fb68', '2025-12-19 16:02:54', true
    ),
    (
        '7027c0b5-7e69-531f-b90d-64eae1703a7f', 'instagram', 'Instagram', 'beta',
        '041e3237-a828-569c-bd20-c181e62c1b75', '2025-12-19 16:02:54', true
    ),
    (
        'c863396a-9e72-50f8-9c31-68761ab4ad03', 'intercom', 'Intercom', 'beta',
        'e2d62a42-21d8-57f6-bfe6-87b03f5b72e6', '2025-12-19 16:02:54', true
    ),
    (
        'f4daac68-07f9-5064-b7a0-ecdcf15754de', 'jenkins', 'Jenkins', 'beta',
        '7256a2a7-005a-5ac7-9ea8-22e219d2f4c1', '2025-12-19 16:02:54', true
    ),
    (
        'fa5152e5-8406-508e-bd28-ff4a4da5eb2a', 'jira', 'Jira', 'beta',
        'fe6047d4-d073-51ba-80ec-369f5b7fc8a2', '2025-12-19 16:02:54', true
    ),
    (
        '0210f08c-d045-5d88-8a51-2c70db7670c3', 'kubernetes', 'Kubernetes', 'beta',
        '78d2acb3-ff71-598c-b4e6-d16eb1e4a7d8', '2025-12-19 16:02:54', true
    ),
    (
        '058165b9-306d-5168-a177-f3f7d6029be7', 'linear', 'Linear', 'beta',
        '4198074d-304c-5e49-a17a-7946e911f999', '2025-12-19 16:02:54', true
    )
on conflict do nothing;

insert into public.connectorversion (id, connector_id, version, manifest, created_at)
select
    listed.id::uuid,
    connector.id,
    '1.0.0',
    jsonb_build_object(
        'name', connector.name,
        'slug', connector.slug,
        'version', '1.0.0',
        'description', listed.description,
        'category', listed.category,
        'status', 'beta',
        'nango', jsonb_build_object('enabled', true, 'provider_key', listed.provider_key),
        'oauth', jsonb_build_object(
            'authorization_url', 'https://api.nango.dev/oauth/' || listed.provider_key,
            'token_url', 'https://api.nango.dev/oauth/' || listed.provider_key || '/token',
            'default_scopes', '[]'::jsonb,
            'authorization_params', '{}'::jsonb
        ),
        'actions', jsonb_build_object(
            'test_connection', jsonb_build_object(
                'name', 'Test Connection',
                'description', 'Test the ' || connector.name || ' connection',
                'method', 'GET',
                'endpoint', '/test'
            )
        ),
        'triggers', '{}'::jsonb
    ),
    timestamp '2025-12-19 16:02:54'
from (
    values
        (
            'b581806f-4c85-54f1-a106-eb4bb007fb68', 'insightly',
            'CRM & Sales', 'insightly', 'Insightly: contacts, deals and sales'
        ),
        (
            '041e3237-a828-569c-bd20-c181e62c1b75', 'instagram',
            'Social Media', 'instagram', 'Instagram: posts and audiences'
        ),
        (
            'e2d62a42-21d8-57f6-bfe6-87b03f5b72e6', 'intercom',
            'Communication & Collaboration', 'intercom', 'Intercom: messages and conversations'
        ),
        (
            '7256a2a7-005a-5ac7-9ea8-22e219d2f4c1', 'jenkins',
            'Development & Code', 'jenkins', 'Jenkins: code, builds and infrastructure'
        ),
        (
            'fe6047d4-d073-51ba-80ec-369f5b7fc8a2', 'jira',
            'Project Management', 'jira', 'Jira: projects and tasks'
        ),
        (
            '78d2acb3-ff71-598c-b4e6-d16eb1e4a7d8', 'kubernetes',
            'Development & Code', 'kubernetes', 'Kubernetes: code, builds and infrastructure'
        ),
        (
            '4198074d-304c-5e49-a17a-7946e911f999', 'linear',
            'Project Management', 'linear', 'Linear: projects and tasks'
        )
) as listed (id, slug, category, provider_key, description)
join public.connector on connector.slug = listed.slug
where connector.owner_id is null
    and not exists (
        select
        from public.connectorversion as known
        where known.connector_id = connector.id
            and known.version = '1.0.0'
    )
on conflict do nothing;
