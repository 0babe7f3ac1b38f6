-- Items belong to tenants outright: row-level security decides what each statement sees and changes.

-- name: list_items
-- A page of the caller's items by id.
select id, title, description
from public.item
where %(after)s::uuid is null or id > %(after)s
order by id
limit %(limit)s;

-- name: create_item
-- A new item; the id is the caller's, so that a repeat after a lost reply makes no second one.
insert into public.item (id, title, description, owner_id)
values (%(id)s, %(title)s, %(description)s, millrace.user_id())
on conflict (id) do update
set title = excluded.title
returning id, title, description;

-- name: read_item
-- One item.
select id, title, description
from public.item
where id = %(id)s;

-- name: update_item
-- Change the fields that %(changes)s names.
update public.item
set title = coalesce(%(changes)s::jsonb ->> 'title', title),
    description = case
        when %(changes)s::jsonb ? 'description' then %(changes)s::jsonb ->> 'description'
        else description
    end
where id = %(id)s
returning id, title, description;

-- name: delete_item
-- Delete one item.
delete from public.item
where id = %(id)s
returning id;
