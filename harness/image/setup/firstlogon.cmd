@echo off
rem Runs once, from the setup CD, at the first logon: everything goes on from a copy on the disk.
rem The CD is gone after the next restart of some hosts, and updates restart Windows.
echo pvhck stage first-logon>COM1
set place=%SystemDrive%\pvhck-setup
if not exist "%place%" mkdir "%place%"
xcopy "%~dp0*.*" "%place%" /e /i /q /y >nul
if errorlevel 1 goto failed
rem As SYSTEM at each start of Windows, until setup.ps1 takes the task away: no second logon is needed.
schtasks.exe /create /f /tn pvhck-setup /ru SYSTEM /rl HIGHEST /sc ONSTART /tr "cmd.exe /c %place%\go-on.cmd" >nul
if errorlevel 1 goto failed
schtasks.exe /run /tn pvhck-setup >nul
if errorlevel 1 goto failed
exit /b 0
:failed
echo pvhck stage failed: the scripts could not be copied from the CD and started>COM1
exit /b 1
