//! The words of every error in both languages, with its stable code and status.
//!
//! A code, once published, never changes its meaning.

use super::ApiError;
use axum::http::StatusCode;
use zhiban_core::work_order::{MOST, NotYours};
use zhiban_core::{Language, Refusal, Text};

/// The HTTP status of a refusal.
pub(super) fn refusal_status(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::NoAlarm(_) | Refusal::NoWorkOrder(_) | Refusal::NoEntry(_) => {
            StatusCode::NOT_FOUND
        }
        Refusal::Missing { .. } | Refusal::ShelveTooLong => StatusCode::UNPROCESSABLE_ENTITY,
        Refusal::Changed { .. } => StatusCode::PRECONDITION_FAILED,
        Refusal::NotYours(_) => StatusCode::FORBIDDEN,
        Refusal::AlreadyAcknowledged { .. }
        | Refusal::LifeSafety
        | Refusal::NotShelved(_)
        | Refusal::AlreadyShelved { .. }
        | Refusal::NotAllowed { .. }
        | Refusal::RecordFull
        | Refusal::FaultStands => StatusCode::CONFLICT,
    }
}

/// The stable name of an error.
pub(super) fn code(error: &ApiError) -> &'static str {
    match error {
        ApiError::AuthRequired => "auth.required",
        ApiError::SignInRefused => "auth.refused",
        ApiError::Csrf => "csrf",
        ApiError::NotFound => "not_found",
        ApiError::MethodNotAllowed => "method_not_allowed",
        ApiError::BodySyntax { .. } => "body.syntax",
        ApiError::MediaType => "body.media_type",
        ApiError::TooLarge => "body.too_large",
        ApiError::TooSlow => "body.too_slow",
        ApiError::Form(_) => "form.invalid",
        ApiError::Query(_) => "query.invalid",
        ApiError::Refused(refusal, _) => refusal_code(refusal),
        ApiError::AlarmOver(_) => "alarm.not_open",
        ApiError::OrderOver(_) => "wo.transition_not_allowed",
        ApiError::NotConfigured(_) => "asset.not_configured",
        ApiError::MatchRequired => "match.required",
        ApiError::KeyReused => "idempotency.mismatch",
        ApiError::KeyBusy => "idempotency.in_progress",
        ApiError::RateLimited(_) | ApiError::SignInLocked(_) => "rate.limited",
        ApiError::SeriesTooLarge => "series.too_large",
        ApiError::StoreFull => "store.full",
        ApiError::Unavailable => "store.unavailable",
        ApiError::Internal => "internal",
    }
}

fn refusal_code(refusal: &Refusal) -> &'static str {
    match refusal {
        Refusal::NoAlarm(_) | Refusal::NoWorkOrder(_) | Refusal::NoEntry(_) => "not_found",
        Refusal::RecordFull => "wo.record_full",
        Refusal::AlreadyAcknowledged { .. } => "alarm.already_acked",
        Refusal::LifeSafety => "alarm.life_safety",
        Refusal::NotShelved(_) => "alarm.not_shelved",
        Refusal::AlreadyShelved { .. } => "alarm.already_shelved",
        Refusal::Missing { .. } | Refusal::ShelveTooLong => "form.invalid",
        Refusal::NotAllowed { .. } => "wo.transition_not_allowed",
        Refusal::FaultStands => "wo.fault_stands",
        Refusal::NotYours(NotYours::GivenTo(_)) => "wo.not_assignee",
        Refusal::NotYours(NotYours::OwnRepair) => "wo.own_repair",
        Refusal::Changed { .. } => "wo.changed",
    }
}

/// What an error is, the same for every case of its code.
pub(super) fn title(error: &ApiError) -> Text {
    let (zh, en) = match error {
        ApiError::AuthRequired => ("请先登录", "Sign in first"),
        ApiError::SignInRefused => ("登录失败", "Sign-in refused"),
        ApiError::Csrf => ("请求来自其他网站", "The request came from another site"),
        ApiError::NotFound => ("没有找到", "Not found"),
        ApiError::MethodNotAllowed => ("不支持这种操作", "Method not allowed"),
        ApiError::BodySyntax { .. } => ("请求内容不是有效的 JSON", "The body is not JSON"),
        ApiError::MediaType => ("请求内容的类型不受支持", "This kind of body is not read"),
        ApiError::TooLarge => ("请求内容过大", "The body is too large"),
        ApiError::TooSlow => ("请求内容没有及时传完", "The body did not arrive in time"),
        ApiError::Form(_) => ("填写的内容有误", "Some fields are wrong"),
        ApiError::Query(_) => ("查询参数有误", "Some query parameters are wrong"),
        ApiError::Refused(refusal, _) => return refusal_title(refusal),
        ApiError::AlarmOver(_) => ("报警已经结束", "The alarm is over"),
        ApiError::OrderOver(_) => ("工单不能这样流转", "The work order cannot go there"),
        ApiError::NotConfigured(_) => ("设备不在配置中", "The equipment is not configured"),
        ApiError::MatchRequired => ("缺少 If-Match", "If-Match is missing"),
        ApiError::KeyReused => (
            "幂等键已用于其他请求",
            "The idempotency key belongs to another request",
        ),
        ApiError::KeyBusy => (
            "相同的请求正在处理",
            "The same request is still being handled",
        ),
        ApiError::RateLimited(_) => ("请求过于频繁", "Too many requests"),
        ApiError::SignInLocked(_) => ("密码错误次数过多", "Too many wrong passwords"),
        ApiError::SeriesTooLarge => ("一次要读的数据太多", "Too many samples for one answer"),
        ApiError::StoreFull => ("照片空间已满", "There is no room for photos"),
        ApiError::Unavailable => ("暂时无法读写记录", "Records are not available now"),
        ApiError::Internal => ("程序内部错误", "A fault inside the gateway"),
    };
    Text::new(zh, en)
}

fn refusal_title(refusal: &Refusal) -> Text {
    let (zh, en) = match refusal {
        Refusal::NoAlarm(_) | Refusal::NoWorkOrder(_) | Refusal::NoEntry(_) => {
            ("没有找到", "Not found")
        }
        Refusal::RecordFull => ("维修记录已满", "The repair record is full"),
        Refusal::AlreadyAcknowledged { .. } => {
            ("报警已被确认", "The alarm is already acknowledged")
        }
        Refusal::LifeSafety => (
            "涉及人身安全的报警不能搁置",
            "A life-safety alarm cannot be shelved",
        ),
        Refusal::NotShelved(_) => ("报警没有被搁置", "The alarm is not shelved"),
        Refusal::AlreadyShelved { .. } => ("报警已被搁置", "The alarm is already shelved"),
        Refusal::Missing { .. } | Refusal::ShelveTooLong => {
            ("填写的内容有误", "Some fields are wrong")
        }
        Refusal::NotAllowed { .. } => ("工单不能这样流转", "The work order cannot go there"),
        Refusal::FaultStands => ("故障尚未恢复", "The fault still stands"),
        Refusal::NotYours(NotYours::GivenTo(_)) => {
            ("工单已派给他人", "The work order is given to somebody else")
        }
        Refusal::NotYours(NotYours::OwnRepair) => {
            ("不能验收自己的维修", "Nobody verifies their own repair")
        }
        Refusal::Changed { .. } => (
            "工单已被他人修改",
            "Somebody else changed the work order meanwhile",
        ),
    };
    Text::new(zh, en)
}

/// What an error is in this case, and what to do.
pub(super) fn detail(error: &ApiError) -> Text {
    if let ApiError::NotConfigured(asset) = error {
        return Text::new(
            format!("{asset} {}", NOT_CONFIGURED.0),
            format!("{asset} {}", NOT_CONFIGURED.1),
        );
    }
    if let ApiError::BodySyntax { line, column } = error {
        return Text::new(
            format!("第 {line} 行第 {column} 列不是有效的 JSON。"),
            format!("It stops being JSON at line {line}, column {column}."),
        );
    }
    if let ApiError::RateLimited(seconds) = error {
        return Text::new(
            format!("请在 {seconds} 秒后再试。"),
            format!("Try again in {seconds} seconds."),
        );
    }
    if let ApiError::SignInLocked(seconds) = error {
        return Text::new(
            format!("此账号密码错误次数过多，请在 {seconds} 秒后再试。"),
            format!("Too many wrong passwords for this account; try again in {seconds} seconds."),
        );
    }
    if let ApiError::Refused(refusal, _) = error {
        return refusal_detail(refusal);
    }
    let (zh, en) = body_detail(error).unwrap_or_else(|| fixed_detail(error));
    Text::new(zh, en)
}

/// Of what is over, and of what the configuration has no place for any more.
/// What an equipment's code comes before.
const NOT_CONFIGURED: (&str, &str) = (
    "或它的规则已不在配置中，不能处理它的报警和工单。请以原编号放回配置。",
    "or its rule is not in the configuration any more, so nothing can be done with its alarms and orders. Put it back under its code.",
);
const ALARM_OVER: (&str, &str) = (
    "报警已结束，在此无法再处理。",
    "The alarm is over; nothing can be done with it here.",
);
const ORDER_OVER: (&str, &str) = ("工单已结束。", "The work order is over.");

/// The same words in every case of the code.
fn fixed_detail(error: &ApiError) -> (&'static str, &'static str) {
    match error {
        ApiError::AuthRequired => (
            "请登录，或在请求中携带有效的令牌。",
            "Sign in, or send a token that is still good.",
        ),
        ApiError::SignInRefused => (
            "用户名或密码不正确。",
            "The user name or the password is wrong.",
        ),
        ApiError::Csrf => (
            "请在本系统的页面上操作。",
            "Do it on a page of this gateway.",
        ),
        ApiError::NotFound => (
            "请检查地址；该对象可能不存在。",
            "Check the address; what it names may not exist.",
        ),
        ApiError::MethodNotAllowed => (
            "请查看响应头 Allow 中列出的操作。",
            "The Allow header lists what can be done here.",
        ),
        ApiError::Form(_) => (
            "请修改标出的各项后再提交。",
            "Correct each field that is listed, then send it again.",
        ),
        ApiError::Query(_) => (
            "请修改标出的各参数。",
            "Correct each parameter that is listed.",
        ),
        ApiError::AlarmOver(_) => ALARM_OVER,
        ApiError::OrderOver(_) => ORDER_OVER,
        ApiError::NotConfigured(_) => NOT_CONFIGURED,
        ApiError::MatchRequired => (
            "请在 If-Match 中给出读取工单时得到的 ETag。",
            "Send the ETag you read with the order as If-Match.",
        ),
        ApiError::KeyReused => ("新请求请用新的幂等键。", "Use a new key."),
        ApiError::KeyBusy => (
            "请稍候，用同一幂等键重试即可得到结果。",
            "Repeat it shortly with the same key to get the answer.",
        ),
        ApiError::Unavailable => (
            "没有做任何更改，或结果尚不确定；请稍后用同一幂等键重试。",
            "Nothing was confirmed; try again shortly, with the same idempotency key.",
        ),
        ApiError::SeriesTooLarge => (
            "请缩短时间范围，或用 agg=minmax 读取。",
            "Ask for a shorter time, or for agg=minmax.",
        ),
        ApiError::StoreFull => (
            "没有保存。请管理员增大 storage.photo_quota_mib。",
            "It was not kept. The administrator can raise storage.photo_quota_mib.",
        ),
        ApiError::Internal => (
            "已写入日志，请联系管理员。",
            "It is in the log; tell the administrator.",
        ),
        // These have words of their own.
        ApiError::BodySyntax { .. }
        | ApiError::MediaType
        | ApiError::TooLarge
        | ApiError::TooSlow
        | ApiError::RateLimited(_)
        | ApiError::SignInLocked(_)
        | ApiError::Refused(..) => ("", ""),
    }
}

/// What is wrong with the body as a whole; `None` when it is something else.
fn body_detail(error: &ApiError) -> Option<(&'static str, &'static str)> {
    let words = if *error == ApiError::MediaType {
        (
            "请以 application/json 发送；照片请以 multipart/form-data 发送。",
            "Send it as application/json, and photos as multipart/form-data.",
        )
    } else if *error == ApiError::TooLarge {
        ("请减少内容后再试。", "Send less.")
    } else if *error == ApiError::TooSlow {
        (
            "没有保存。请检查网络后重新发送。",
            "Nothing was kept. Check the network and send it again.",
        )
    } else {
        return None;
    };
    Some(words)
}

/// Why a move is somebody else's, and what to do.
fn not_yours(why: &NotYours) -> (String, String) {
    match why {
        NotYours::GivenTo(assignee) => (
            format!(
                "工单已派给 {assignee}，只有本人可以接单、到场和维修。要由别人来做，请先转派。"
            ),
            format!(
                "It is given to {assignee}; only they accept it, arrive and work on it. \
                 Hand it over first if somebody else shall do it."
            ),
        ),
        NotYours::OwnRepair => (
            "请由没有参加这次维修的人员验收。".to_owned(),
            "Somebody who did not do the repair must verify it.".to_owned(),
        ),
    }
}

/// What a refusal is in this case, and what to do.
pub(crate) fn refusal_detail(refusal: &Refusal) -> Text {
    let (zh, en) = match refusal {
        Refusal::NoAlarm(id) => (
            format!("没有报警 {id}。"),
            format!("There is no alarm {id}."),
        ),
        Refusal::NoWorkOrder(no) => (
            format!("没有工单 {no}。"),
            format!("There is no work order {no}."),
        ),
        Refusal::NoEntry(id) => (
            format!("这张工单的记录里没有第 {id} 项。"),
            format!("The record of this order has no entry {id}."),
        ),
        Refusal::RecordFull => (
            format!("一张工单最多记 {MOST} 种备件、{MOST} 张照片。"),
            format!("An order holds at most {MOST} parts and {MOST} photos."),
        ),
        Refusal::AlreadyAcknowledged { by, .. } => {
            let en = format!("{by} acknowledged it already.");
            (format!("{by} 已经确认。"), en)
        }
        Refusal::LifeSafety => (
            "火灾、困人、水淹等报警必须处理，不能搁置。".to_owned(),
            "Fire, entrapment and flooding must be dealt with; they cannot be put aside."
                .to_owned(),
        ),
        Refusal::AlreadyShelved { by, .. } => (
            format!("{by} 已经搁置。要改时间，先恢复再搁置。"),
            format!("{by} has shelved it. To change the time, unshelve it first."),
        ),
        Refusal::NotShelved(id) => (
            format!("报警 {id} 没有被搁置。"),
            format!("Alarm {id} is not shelved."),
        ),
        Refusal::ShelveTooLong => (
            "搁置时间为 1 分钟至 8 小时。".to_owned(),
            "An alarm is shelved for 1 minute to 8 hours.".to_owned(),
        ),
        Refusal::Missing { .. } => (
            "请补全标出的各项。".to_owned(),
            "Fill in each field that is listed.".to_owned(),
        ),
        Refusal::NotAllowed { from, to } => {
            let word = |status, language| crate::pages::status(status, language);
            let (zh, en) = (Language::ZhCn, Language::En);
            (
                format!("工单不能从“{}”变为“{}”。", word(*from, zh), word(*to, zh)),
                format!(
                    "A work order cannot go from \"{}\" to \"{}\".",
                    word(*from, en),
                    word(*to, en)
                ),
            )
        }
        Refusal::NotYours(why) => not_yours(why),
        Refusal::FaultStands => (
            "设备尚未报告恢复正常，工单不能结束。".to_owned(),
            "The machine has not reported normal, so the order cannot end.".to_owned(),
        ),
        Refusal::Changed { version, .. } => (
            format!("现在是第 {version} 版，请重新读取后再改。"),
            format!("It is at version {version} now; read it again first."),
        ),
    };
    Text::new(zh, en)
}

/// The words of a field's fault.
pub(super) fn field(code: &str) -> Text {
    let (zh, en) = match code {
        "required" => ("必填", "This is needed"),
        "unknown_field" => ("没有这一项", "There is no such field"),
        "duplicate_field" => ("重复出现", "This stands here twice"),
        "wrong_type" => ("值的类型不对", "The value is of the wrong type"),
        "out_of_range" => ("超出允许范围", "This is out of range"),
        "unknown" => ("不存在", "There is no such thing"),
        "not_a_photo" => (
            "只接受 JPEG、PNG 或 WebP 图片",
            "Only JPEG, PNG and WebP pictures are taken",
        ),
        "not_a_quantity" => (
            "数量应为 0.001 至 1000000，最多三位小数",
            "A quantity is 0.001 to 1000000 with at most three decimals",
        ),
        "in_future" => ("时间不能晚于现在", "The time cannot be later than now"),
        _ => ("无效", "This is not valid"),
    };
    Text::new(zh, en)
}
