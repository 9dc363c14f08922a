import pytest
import yaml

from bot.cases.models import CaseType
from bot.cases.routing import ROUTES, RoutingError, load_table, propose, table

J, S, T, Y = CaseType.REPORT, CaseType.REQUEST, CaseType.COMPLAINT, CaseType.SUGGESTION


@pytest.mark.parametrize(
    ("type", "text", "rule"),
    [
        (J, "我们厂让商场乱收电费", "fees"),
        (J, "行业协会强制入会，每年要交会费", "association_fees"),
        (S, "行政机关收费没有依据", "official_fees"),
        (J, "同行到处抹黑我们，说我们的货有毒", "unfair_competition"),
        (S, "大企业拖欠货款半年不给", "arrears"),
        (S, "供应商违约，合同纠纷怎么办", "business_contract"),
        (J, "有人假冒我们的牌子，商标侵权", "trademark"),
        (S, "专利侵权纠纷", "patent"),
        (S, "职业打假人敲诈我们小店", "extortion"),
        (S, "办营业执照窗口刁难，来回跑", "licensing"),
        (S, "莫名成了法人，被冒名登记了", "stolen_identity"),
        (J, "小区电梯一直晃，没人检修", "special_equipment"),
        (J, "市场的电子秤不准", "metering"),
        (J, "检测机构出假报告", "certification"),
        (J, "饭店用发霉的食品", "food"),
        (J, "药店卖假药", "drugs"),
        (S, "商品条码怎么办理", "standards"),
        (T, "口罩一撕就破，质量问题", "product_quality"),
        (T, "办的预付卡老板跑路了，要求退款", "consumer_rights"),
        (S, "老板拖欠工资", "labour"),
        (J, "商家不开发票偷税", "tax"),
        (S, "银行贷款办不下来", "loans"),
        (J, "饭馆隔壁厂子排污噪音", "environment"),
        (J, "商场消防通道堵了", "fire_safety"),
        (T, "物业公司服务太差", "property_management"),
        (J, "买的农药和种子都是坏的", "farm_supplies"),
    ],
)
def test_what_small_businesses_bring(type, text, rule):
    assert propose(type, text).rule == rule


def test_every_rule_is_reachable_by_each_of_its_words_alone():
    for rule in table().rules:
        for word in rule.words:
            assert rule.found(word) == [word], (rule.key, word)


@pytest.mark.parametrize(
    ("type", "department"),
    [(T, "消费者权益保护"), (J, "综合执法"), (S, "12315诉求受理"), (Y, "12315诉求受理")],
)
def test_without_a_word_the_type_decides(type, department):
    route = propose(type, "这事你们看看")
    assert (route.department, route.rule, route.caution, route.expected_type) == (
        department,
        None,
        None,
        None,
    )
    assert "默认" in route.reason


def test_a_route_says_why_who_else_and_what_to_mind():
    route = propose(J, "商场乱收费，转供电加价，电梯也不检")
    assert route.department == "价格监督和反不正当竞争"
    assert route.reason == "命中：乱收费、转供电、加价"
    assert route.also == ("特种设备安全监察",)
    assert "不是消费投诉" in route.caution
    assert (route.expected_type, route.mark, route.verified) == (J, "B", False)


def test_a_longer_word_is_not_counted_twice():
    assert propose(J, "乱收费").reason == "命中：乱收费"


def test_arrears_of_wages_are_no_arrears_of_goods():
    assert "反不正当竞争" not in propose(S, "拖欠工资").also
    assert propose(S, "拖欠工资").department == "12345转办"


def test_full_width_text_is_read():
    assert propose(J, "ＡＢＣ公司的秤不准").rule == "metering"


def test_no_caution_gives_a_telephone_number_or_promises_a_result():
    for rule in table().rules:
        assert not any(number in (rule.caution or "") for number in ("12333", "12366", "12369", "96119"))


def changed(tmp_path, change):
    content = yaml.safe_load(ROUTES.read_text("utf-8"))
    change(content)
    path = tmp_path / "routing.yml"
    path.write_text(yaml.safe_dump(content, allow_unicode=True), "utf-8")
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["defaults"].pop("S"), "no default for .*'S'"),
        (lambda c: c["rules"].append(c["rules"][0]), "fees.* stand twice"),
        (lambda c: c["rules"][0].update(words=[]), r"rules\.0\.words"),
        (lambda c: c["rules"][0].update(expects="X"), r"rules\.0\.expects"),
        (lambda c: c["rules"][0].pop("department"), r"rules\.0\.department"),
        (lambda c: c["rules"][0].update(surprise=1), "surprise"),
    ],
)
def test_a_wrong_table_is_refused_with_the_place(tmp_path, change, message):
    with pytest.raises(RoutingError, match=message):
        load_table(changed(tmp_path, change))


def test_broken_yaml_is_refused(tmp_path):
    path = tmp_path / "routing.yml"
    path.write_text("rules: [", "utf-8")
    with pytest.raises(RoutingError, match=r"routing\.yml"):
        load_table(path)
