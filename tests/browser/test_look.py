from tests.harness import policy, ready
def test_look(gateway, visitor):
    script = gateway.hotline.engine.script
    script["电梯维保那边缺人，想改成一个月来一回，行不行"] = policy(9, facet="conditions")
    for name, size in (("phone", None), ("desktop", {"width":1280,"height":800})):
        v = visitor(gateway.url, **({"viewport": size} if size else {}))
        v.page.goto(gateway.url); v.page.screenshot(path=f"/tmp/w-{name}-0.png")
        v.open(); v.page.wait_for_timeout(300); v.page.screenshot(path=f"/tmp/w-{name}-1.png")
        v.say("电梯维保那边缺人，想改成一个月来一回，行不行")
        from playwright.sync_api import expect
        expect(v.bot).to_have_count(2)
        v.page.wait_for_timeout(500); v.page.screenshot(path=f"/tmp/w-{name}-2.png")
        v.page.get_by_role("button", name="图片、文件和更多").click()
        v.page.wait_for_timeout(300); v.page.screenshot(path=f"/tmp/w-{name}-3.png")
        print(v.violations())
        print(v.errors, v.hosts)
